//! Settings from arguments, files and, in a process of their own, the environment.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::Duration;

use clap::Parser;
use service_kit::settings::{SettingsError, ShutdownConfig, parse, span};
use service_kit::telemetry::LogFormat;
use tempfile::NamedTempFile;

#[derive(Debug, Parser)]
#[command(version = "1.2.3")]
struct Args {
    #[arg(long, env = "KIT_LISTEN", default_value = "127.0.0.1:50051", global = true)]
    listen: SocketAddr,
    #[arg(long, env = "KIT_DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    database_url: String,
    #[arg(long, env = "KIT_MIN_TTL", default_value = "5s", value_parser = span)]
    min_ttl: Duration,
    #[arg(long, env = "KIT_DEFAULT_TTL", value_delimiter = ',')]
    default_ttl: Vec<String>,
    #[arg(long, env = "KIT_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
    #[arg(long, env = "KIT_CONNECTIONS", default_value_t = 10)]
    connections: u32,
    #[arg(long, env = "KIT_INSECURE")]
    insecure: bool,
    #[arg(long, env = "KIT_CONFIG", global = true)]
    config: Option<std::path::PathBuf>,
    #[command(flatten)]
    shutdown: ShutdownConfig,
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    Migrate {
        #[arg(long, default_value_t = 1)]
        steps: u32,
    },
}

fn database_url(text: &str) -> Result<String, String> {
    let known = text.starts_with("postgres://");
    if known { Ok(text.to_owned()) } else { Err("write postgres://…".to_owned()) }
}

fn run(args: &[&str]) -> Result<Args, SettingsError> {
    parse(std::iter::once("server").chain(args.iter().copied()).map(OsString::from))
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn with_file(text: &str, args: &[&str]) -> Result<Args, SettingsError> {
    let file = file(text);
    run(&[&["--config", file.path().to_str().unwrap()], args].concat())
}

/// The message for this file, which names the file.
fn refused(text: &str) -> String {
    let file = file(text);
    let path = file.path().to_str().unwrap();
    let error = run(&["--config", path]).unwrap_err();
    assert_eq!(error.exit_code(), 64);
    let message = error.to_string();
    assert!(message.starts_with(&format!("error: {path}: ")), "{message}");
    message
}

const COMPLETE: &str = r#"
    listen = "127.0.0.1:1"
    database-url = "postgres://file"
    min-ttl = "100ms"
    default-ttl = { plan = "300s", project = "600s" }
    log-format = "json"
    connections = 7
    insecure = true
    steps = 3
"#;

#[test]
fn a_file_sets_everything_also_what_is_required() {
    let args = with_file(COMPLETE, &[]).unwrap();
    assert_eq!(args.listen, "127.0.0.1:1".parse().unwrap());
    assert_eq!(args.database_url, "postgres://file");
    assert_eq!(args.min_ttl, Duration::from_millis(100));
    assert_eq!(args.default_ttl, ["plan=300s", "project=600s"]);
    assert_eq!(args.log_format, LogFormat::Json);
    assert_eq!(args.connections, 7);
    assert!(args.insecure && args.config.is_some() && args.command.is_none());
}

#[test]
fn a_flag_wins_over_the_file_and_replaces_a_list() {
    let flags = ["--listen", "127.0.0.1:2", "--default-ttl", "plan=1s", "--min-ttl=1s"];
    let args = with_file(COMPLETE, &flags).unwrap();
    assert_eq!(args.listen.port(), 2);
    assert_eq!(args.default_ttl, ["plan=1s"]);
    assert_eq!(args.min_ttl, Duration::from_secs(1));
    assert_eq!(args.connections, 7);
}

#[test]
fn a_file_serves_subcommands_wherever_it_is_named() {
    let file = file(COMPLETE);
    let path = file.path().to_str().unwrap();
    for args in [["migrate", "--config", path], ["--config", path, "migrate"]] {
        let args = run(&args).unwrap();
        assert_eq!(args.listen.port(), 1);
        let Some(Sub::Migrate { steps }) = args.command else { panic!("{args:?}") };
        assert_eq!(steps, 3);
    }
    let args = run(&["migrate", "--config", path, "--steps=9", "--listen=127.0.0.1:2"]).unwrap();
    assert_eq!(args.listen.port(), 2);
    assert!(matches!(args.command, Some(Sub::Migrate { steps: 9 })));
}

#[test]
fn lists_may_be_arrays_and_empty_ones_say_nothing() {
    let base = "database-url = 'postgres://file'\n";
    let args = with_file(&format!("{base}default-ttl = ['a=1s', 'b=2s']"), &[]).unwrap();
    assert_eq!(args.default_ttl, ["a=1s", "b=2s"]);
    let args = with_file(&format!("{base}default-ttl = []\ninsecure = false"), &[]).unwrap();
    assert!(args.default_ttl.is_empty() && !args.insecure);
}

#[test]
fn a_wrong_key_is_told_the_right_ones() {
    let typo = refused("lissten = 'x'");
    assert!(typo.contains("unknown key `lissten`, did you mean `listen`?"), "{typo}");
    assert!(typo.contains("known keys: connections, database-url, default-ttl"), "{typo}");
    let snake = refused("min_ttl = '5s'");
    assert!(snake.contains("did you mean `min-ttl`?"), "{snake}");
    let far = refused("zzzzzzzz = 1");
    assert!(!far.contains("did you mean"), "{far}");
    let itself = refused("config = 'other.toml'");
    assert!(itself.contains("cannot name another"), "{itself}");
}

#[test]
fn a_wrong_value_names_its_key_and_what_is_right() {
    for (text, wanted) in [
        ("listen = 50051", "`listen`: invalid value '50051'"),
        ("min-ttl = 5", "`min-ttl`: invalid value '5'"),
        ("min-ttl = 5", "write a span such as 300s, 5m or 1h"),
        ("log-format = 'xml'", "[possible values: text, json]"),
        ("connections = -1", "`connections`: invalid value '-1'"),
        ("insecure = 'yes'", "`insecure`: write true or false"),
        ("listen = ['a', 'b']", "`listen`: takes one value"),
        ("default-ttl = [['a']]", "`default-ttl`: write strings or numbers"),
        ("database-url = 'mysql://u:secret@h'", "write postgres://…"),
    ] {
        let message = refused(text);
        assert!(message.contains(wanted), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn a_broken_or_missing_file_is_named() {
    let broken = refused("listen = '127.0.0.1:1'\ndatabase-url = 'secret");
    assert!(broken.contains("line 2, column") && !broken.contains("secret"), "{broken}");
    let missing = run(&["--config", "/nowhere/at-all.toml"]).unwrap_err().to_string();
    assert!(missing.contains("/nowhere/at-all.toml: No such file"), "{missing}");
}

#[test]
fn wrong_arguments_are_told_without_a_secret() {
    for args in [&[][..], &["--unknown"], &["--database-url=x"], &["--database-url"]] {
        let error = run(args).unwrap_err();
        assert_eq!(error.exit_code(), 64, "{error}");
    }
    let error = run(&["--database-url=mysql://u:secret@h"]).unwrap_err().to_string();
    assert!(error.contains("--database-url") && !error.contains("secret"), "{error}");
}

#[test]
fn help_and_version_are_no_failure() {
    let help = run(&["--help"]).unwrap_err();
    assert_eq!(help.exit_code(), 0);
    let usage = "Usage: server [OPTIONS] --database-url <DATABASE_URL> [COMMAND]";
    assert!(help.to_string().contains(usage), "{help}");
    assert!(run(&["--version"]).unwrap_err().to_string().contains("1.2.3"));
}

/// Not a test of its own: the process that the next ones start, with an environment of its own.
#[test]
#[ignore = "started by other tests"]
fn child() {
    let args = std::env::var("KIT_ARGS").unwrap_or_default();
    match run(&args.split_whitespace().collect::<Vec<_>>()) {
        Ok(args) => eprintln!("{args:?}"),
        Err(error) => error.exit(),
    }
}

fn child_with(envs: &[(&str, &str)]) -> (Output, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "child"])
        .envs(envs.iter().copied())
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    (output, errors)
}

#[test]
fn the_environment_is_above_the_file_and_below_flags() {
    let file = file(COMPLETE);
    let (_, told) = child_with(&[
        ("KIT_CONFIG", file.path().to_str().unwrap()),
        ("KIT_LISTEN", "127.0.0.1:3"),
        ("KIT_CONNECTIONS", "8"),
        ("KIT_DEFAULT_TTL", "a=1s,b=2s"),
        ("KIT_ARGS", "--connections 9"),
    ]);
    assert!(told.contains("listen: 127.0.0.1:3"), "{told}");
    assert!(told.contains("connections: 9"), "{told}");
    assert!(told.contains(r#"default_ttl: ["a=1s", "b=2s"]"#), "{told}");
    assert!(told.contains("postgres://file"), "{told}");
}

#[test]
fn a_global_flag_without_a_variable_has_that_of_its_program() {
    let url = ("KIT_DATABASE_URL", "postgres://env");
    let (_, told) = child_with(&[url, ("SERVICE_KIT_SHUTDOWN_GRACE", "7s")]);
    assert!(told.contains("shutdown_grace: 7s"), "{told}");
    let (_, told) = child_with(&[
        url,
        ("SERVICE_KIT_SHUTDOWN_GRACE", "7s"),
        ("KIT_ARGS", "--shutdown-grace 8s"),
    ]);
    assert!(told.contains("shutdown_grace: 8s"), "{told}");
    let (output, told) = child_with(&[url, ("SERVICE_KIT_SHUTDOWN_GRACE", "7")]);
    assert_eq!(output.status.code(), Some(64));
    assert!(told.contains("The value comes from SERVICE_KIT_SHUTDOWN_GRACE."), "{told}");
}

#[test]
fn an_empty_variable_is_not_set() {
    let (_, told) = child_with(&[
        ("KIT_CONFIG", ""),
        ("KIT_LISTEN", ""),
        ("KIT_INSECURE", ""),
        ("KIT_DATABASE_URL", "postgres://env"),
    ]);
    assert!(told.contains("listen: 127.0.0.1:50051"), "{told}");
    assert!(told.contains("insecure: false"), "{told}");
}

#[test]
fn a_wrong_variable_is_named_and_ends_with_64() {
    let (output, told) = child_with(&[("KIT_DATABASE_URL", "mysql://u:secret@h")]);
    assert_eq!(output.status.code(), Some(64));
    assert!(told.contains("The value comes from KIT_DATABASE_URL."), "{told}");
    assert!(told.contains("write postgres://…") && !told.contains("secret"), "{told}");
    let (_, told) = child_with(&[("KIT_LISTEN", "x"), ("KIT_ARGS", "--listen y")]);
    assert!(!told.contains("The value comes from"), "{told}");
}

#[test]
fn help_goes_to_standard_output() {
    let (output, told) = child_with(&[("KIT_ARGS", "--help")]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("Usage: server"));
    assert!(!told.contains("Usage:"), "{told}");
}
