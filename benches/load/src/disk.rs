//! What a commit costs the disk itself: 8 KiB appended and synced, as a database does it.

use std::{fs::File, io::Write as _, time::Instant};

use crate::{
    load::{histogram, micros},
    trouble::{During, Result},
};

/// Microseconds at the median of so many commits, in the folder for temporary files, where all
/// targets have their data.
pub(crate) async fn commit_micros(commits: usize) -> Result<f64> {
    let measure = move || {
        let folder = tempfile::Builder::new().prefix("lock-bench-disk-").tempdir();
        let folder = folder.during("make a temporary folder")?;
        let mut file = File::create(folder.path().join("log")).during("make a file")?;
        let page = [7; 8192];
        let mut times = histogram();
        for _ in 0..commits {
            let start = Instant::now();
            file.write_all(&page).during("write to the disk")?;
            file.sync_data().during("sync to the disk")?;
            times.saturating_record(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
        Ok(micros(&times, 0.5))
    };
    tokio::task::spawn_blocking(measure).await.during("measure the disk")?
}
