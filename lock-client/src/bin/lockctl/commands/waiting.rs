//! What people are told while a command waits in line.

use std::{convert::Infallible, future::Future, time::Duration};

use lock_client::{Lock, LockClient, Resource};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    escape::escaped,
    output::{Output, StatusLine, seconds, span},
};

/// A lock that is granted sooner is not waited for: nothing is said of it.
const SOON: Duration = Duration::from_millis(300);

/// How often to look who is in the way.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Awaits an acquisition, and tells meanwhile who is in its way: on a terminal on
/// one line that is kept up to date, elsewhere once.
pub(super) async fn told<T>(
    client: &LockClient,
    resource: &Resource,
    wait: Option<Duration>,
    output: Output,
    acquisition: impl Future<Output = T>,
) -> T {
    let line = output.status_line().filter(|_| wait.is_some_and(|wait| !wait.is_zero()));
    // A large one: in a box it is not moved about.
    let mut acquisition = Box::pin(acquisition);
    let Some(line) = line else { return acquisition.await };
    tokio::select! {
        biased;
        done = &mut acquisition => done,
        never = tell(client, resource, line) => match never {},
    }
}

async fn tell(client: &LockClient, resource: &Resource, mut line: StatusLine) -> Infallible {
    sleep(SOON).await;
    loop {
        let asked = Instant::now();
        // Whatever is wrong, the acquisition has the word on it.
        if let Ok(Some(lock)) = client.get(resource).await
            && lock.owner_id != client.owner_id()
        {
            line.show(&words(&lock));
            if !line.is_kept_up_to_date() {
                return std::future::pending().await;
            }
        }
        sleep_until(asked + LOOK_AGAIN).await;
    }
}

/// Who is in the way and until when, and how many wait for that.
fn words(lock: &Lock) -> String {
    let (resource, holder) = (escaped(&lock.resource.to_string()), escaped(&lock.owner_id));
    let until = match lock.stale {
        true => "whose lease ran out".to_owned(),
        false => {
            let left = span::human(lock.remaining);
            format!("until {} (in {left})", seconds(lock.expire_time))
        }
    };
    format!("waiting for {resource}: held by {holder} {until}, {} in line", lock.queue_length)
}
