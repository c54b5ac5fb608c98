//! `planctl watch`: what happens to a plan and what its steps write, to its end.

use service_kit::cli::{Failure, Output};

use super::{
    find,
    following::{Follower, View, interrupts, show},
};
use crate::{
    args::{Global, PlanArgs},
    client::Client,
};

pub(super) async fn execute(
    global: &Global,
    args: &PlanArgs,
    output: Output,
) -> Result<u8, Failure> {
    let client = Client::connect(global).await?;
    let plan = find(&client, &args.plan).await?;
    // Up to here Ctrl-C ends it as it ends anything.
    let interrupt = interrupts()?;
    let follower = Follower::new(client, &args.plan, false);
    show(follower, interrupt, &plan, View::Everything, output).await
}
