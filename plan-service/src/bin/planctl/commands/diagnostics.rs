//! `planctl diagnostics`: one screen that says whether the service is well and
//! what it stands on; and one plan from near.

mod report;

use proto::plan::v1::{GetDiagnosticsRequest, GetDiagnosticsResponse};
use service_kit::cli::{Failure, Output};
use tokio::time::Instant;

use self::report::Report;
use crate::{
    args::{DiagnosticsArgs, Global},
    client::Client,
    exit,
};

pub(super) async fn execute(
    global: &Global,
    args: &DiagnosticsArgs,
    output: Output,
) -> Result<u8, Failure> {
    let report = match ask(global, args).await {
        Ok((answer, latency)) => {
            Report { address: global.addr.clone(), answer: Ok((answer, latency)) }
        }
        // That nobody answers is what was to be found out.
        Err(failure) if failure.code == exit::UNAVAILABLE => {
            let (message, _) = failure.to_text();
            let error = (failure.reason().to_owned(), message.to_owned());
            Report { address: global.addr.clone(), answer: Err(error) }
        }
        Err(failure) => return Err(failure),
    };
    output.answer(|| report.to_json(), |style| report.to_text(style))?;
    Ok(report.exit_code())
}

async fn ask(
    global: &Global,
    args: &DiagnosticsArgs,
) -> Result<(GetDiagnosticsResponse, std::time::Duration), Failure> {
    let client = Client::connect(global).await?;
    let request = GetDiagnosticsRequest { plan_id: args.plan.clone() };
    let started = Instant::now();
    let answer = client.call(|mut stub| async move { stub.get_diagnostics(request).await }).await?;
    Ok((answer, started.elapsed()))
}
