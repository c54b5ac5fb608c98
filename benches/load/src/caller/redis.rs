//! Redis as its manual tells to lock: `SET NX PX` with a random value, and a script that deletes the
//! key if the value is still one's own.

use redis::{Script, aio::MultiplexedConnection};

use super::{Grant, odd, statement::TTL_MS};
use crate::{
    part::Part,
    trouble::{During, Result},
};

const RELEASE: &str =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0";

/// One caller on a connection that others may share.
pub(crate) struct Redis {
    connection: MultiplexedConnection,
    script: String,
    values: Vec<u64>,
    pub(super) part: Part,
}

/// Gives the server the script to release with, and returns its hash.
pub(crate) async fn load_script(connection: &mut MultiplexedConnection) -> Result<String> {
    Script::new(RELEASE).load_async(connection).await.during("load a script into Redis")
}

impl Redis {
    pub(crate) fn new(connection: MultiplexedConnection, script: String, part: Part) -> Self {
        let values = vec![0; part.resources.len()];
        Self { connection, script, values, part }
    }

    pub(super) async fn acquire(&mut self, lock: usize) -> Result<Grant> {
        let value = fastrand::u64(..);
        let answer: Option<String> = redis::cmd("SET")
            .arg(&self.part.resources[lock])
            .arg(value)
            .arg("NX")
            .arg("PX")
            .arg(TTL_MS)
            .query_async(&mut self.connection)
            .await
            .during("set a key")?;
        self.values[lock] = value;
        Ok(if answer.is_some() { Grant::Granted } else { Grant::Conflict })
    }

    pub(super) async fn release(&mut self, lock: usize) -> Result<()> {
        let deleted: u32 = redis::cmd("EVALSHA")
            .arg(&self.script)
            .arg(1)
            .arg(&self.part.resources[lock])
            .arg(self.values[lock])
            .query_async(&mut self.connection)
            .await
            .during("delete a key")?;
        if deleted == 1 { Ok(()) } else { Err(odd("nothing was released")) }
    }
}
