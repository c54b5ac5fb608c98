//! Where a command of a plan waits until the test lets it go on.
//!
//! In scripts: `at NAME` says that the place is reached, `pass NAME` says so and
//! waits, and `$GATE` is the folder, outside every project.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use service_kit::testing::eventually;

use super::{DEADLINE, Template};

/// The words of a script. A gate whose folder is gone lets everybody through, so
/// that nothing waits for a test that has ended.
const WORDS: &str = r#"
at() { : > "$GATE/at.$1"; }
pass() {
    : > "$GATE/at.$1"
    while [ -d "$GATE" ] && ! [ -e "$GATE/go.$1" ]; do sleep 0.02; done
}
"#;

/// A folder of places, outside every project.
#[derive(Debug)]
pub(crate) struct Gate {
    folder: PathBuf,
}

impl Gate {
    pub(crate) fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("words.sh"), WORDS).unwrap();
        Self { folder: folder.to_owned() }
    }

    /// The action with `$GATE` in all its commands; a script says `. "$GATE/words.sh"`.
    pub(crate) fn on(&self, template: Template) -> Template {
        template.env("GATE", self.folder.to_str().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Waits until a command has come to this place.
    pub(crate) async fn reached(&self, place: &str) {
        let file = self.folder.join(format!("at.{place}"));
        let what = format!("a command comes to {place}");
        eventually(&what, DEADLINE, async || file.exists().then_some(())).await;
    }

    /// Lets commands go on from this place.
    pub(crate) fn open(&self, place: &str) {
        fs::write(self.folder.join(format!("go.{place}")), "").unwrap();
    }

    /// The lines of a file there; none when it is not there.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read(self.folder.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
    }

    /// Waits until a file there has so many lines.
    pub(crate) async fn has_lines(&self, name: &str, count: usize) {
        let what = format!("{name} has {count} lines");
        let probe = async || (self.lines(name).len() >= count).then_some(());
        eventually(&what, DEADLINE, probe).await;
    }

    /// Waits until nothing has been added to a file for a while, and says how
    /// many lines it has.
    pub(crate) async fn quiet(&self, name: &str, pause: Duration) -> usize {
        let mut last = self.lines(name).len();
        let mut since = tokio::time::Instant::now();
        eventually(&format!("{name} stops growing"), DEADLINE, async || {
            let now = self.lines(name).len();
            if now != last {
                (last, since) = (now, tokio::time::Instant::now());
            }
            (since.elapsed() >= pause).then_some(last)
        })
        .await
    }
}
