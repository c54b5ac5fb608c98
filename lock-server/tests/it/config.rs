//! Settings: what a wrong one is told, and which source comes first.

use std::{fs, path::PathBuf};

use service_kit::testing::{Answer, Process};

use super::support::{DEADLINE, LOCK_SERVER, Serving, assert_serves, run};

const SECRET: &str = "hunter2";

/// A folder with a configuration file.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(config: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.config(), config).unwrap();
        folder
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("lock-server.toml")
    }

    /// Runs the server with the file; it must end by itself.
    async fn run(&self, envs: &[(&str, &str)]) -> Answer {
        run(&["--listen", "127.0.0.1:0", "--config", self.config().to_str().unwrap()], envs).await
    }

    /// The URL of a database of this name in the folder.
    fn database(&self, name: &str) -> String {
        format!("sqlite://{}", self.0.path().join(name).display())
    }
}

#[tokio::test]
async fn a_wrong_flag_names_itself_and_the_right_form() {
    let cases: [(&[&str], &[&str]); 23] = [
        (&["--listen", "localhost"], &["--listen", "127.0.0.1:50051"]),
        (&["--listen", "127.0.0.1:99999"], &["--listen", "127.0.0.1:50051"]),
        (&["--listen", "0.0.0.0:50051"], &["--listen", "127.0.0.1:50051", "--insecure"]),
        (&["--database-url", "mysql://h/d"], &["--database-url", "postgres://", "sqlite://"]),
        (&["--database-url", "locks.db"], &["--database-url", "sqlite://PATH"]),
        (&["--min-ttl", "5"], &["--min-ttl", "300s"]),
        (&["--min-ttl", "50ms"], &["--min-ttl", "100ms"]),
        (&["--min-ttl", "2h"], &["--min-ttl", "--max-ttl"]),
        (&["--max-ttl", "soon"], &["--max-ttl", "300s"]),
        (&["--default-ttl", "plan"], &["--default-ttl", "TYPE=SPAN", "plan=300s"]),
        (&["--default-ttl", "Plan=5s"], &["--default-ttl", "[a-z]"]),
        (&["--default-ttl", "plan=1s"], &["--default-ttl", "plan=1s", "--min-ttl"]),
        (&["--sweep-interval", "0s"], &["--sweep-interval", "30s"]),
        (&["--event-retention", "90"], &["--event-retention", "300s"]),
        (&["--shutdown-grace=-1s"], &["--shutdown-grace", "300s"]),
        (&["--store-timeout", "0s"], &["--store-timeout", "10ms"]),
        (&["--migrate", "maybe"], &["--migrate", "auto", "never"]),
        (&["--log-format", "xml"], &["--log-format", "text", "json"]),
        (&["--log-level", "loud"], &["--log-level", "debug"]),
        (&["--max-queue", "0"], &["--max-queue", "1 to 1000000"]),
        (&["--max-message-size", "10"], &["--max-message-size", "4096"]),
        (&["--min-tll", "5s"], &["--min-tll", "--min-ttl"]),
        (&["serve"], &["serve", "--help"]),
    ];
    for (flags, words) in cases {
        run(flags, &[]).await.ended_with(64).complains(words);
    }
}

#[tokio::test]
async fn a_wrong_variable_names_itself_and_the_flag() {
    for (name, value, words) in [
        ("LOCK_SERVER_MIN_TTL", "5", &["--min-ttl", "300s"]),
        ("LOCK_SERVER_LISTEN", "nowhere", &["--listen", "127.0.0.1:50051"]),
        ("LOCK_SERVER_MIGRATE", "maybe", &["--migrate", "never"]),
        ("LOCK_SERVER_DEFAULT_TTL", "plan", &["--default-ttl", "TYPE=SPAN"]),
    ] {
        let ended = run(&[], &[(name, value)]).await.ended_with(64);
        ended.complains(&[name]).complains(words);
    }
}

#[tokio::test]
async fn a_wrong_key_or_value_names_the_file_and_itself() {
    for (config, words) in [
        ("min_tll = '5s'", &["min_tll", "min-ttl"][..]),
        ("min_ttl = '5s'", &["min_ttl", "did you mean `min-ttl`"]),
        ("nonsense = 1", &["nonsense", "known keys"]),
        ("min-ttl = 5", &["min-ttl", "300s"]),
        ("min-ttl = ['5s']", &["min-ttl", "one value"]),
        ("insecure = 'yes'", &["insecure", "true or false"]),
        ("migrate = 'maybe'", &["migrate", "auto", "never"]),
        ("default-ttl = { plan = 5 }", &["default-ttl", "300s"]),
        ("max-queue = -1", &["max-queue"]),
        ("config = 'other.toml'", &["config"]),
        ("min-ttl = '5s'\nmax-ttl = = 1", &["line 2"]),
    ] {
        let folder = Folder::with(config);
        let ended = folder.run(&[]).await.ended_with(64);
        ended.complains(&[folder.config().to_str().unwrap()]).complains(words);
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let args = ["--config", "/no/such/lock-server.toml"];
    run(&args, &[]).await.ended_with(64).complains(&["/no/such/lock-server.toml", "No such file"]);
}

#[tokio::test]
async fn a_flag_comes_before_a_variable_and_a_variable_before_the_file() {
    let folder = Folder::with("");
    let [file, variable, flag] = ["file", "variable", "flag"].map(|name| folder.database(name));
    fs::write(folder.config(), format!("database-url = '{file}'\nmin-ttl = '1s'")).unwrap();
    let config = folder.config();
    let with_config = ["--config", config.to_str().unwrap()];

    let mut server = Serving::start(&with_config).await;
    server.keeps_locks_in(&file).await;
    assert_serves(&mut server.locks()).await;

    let env = [("LOCK_SERVER_DATABASE_URL", variable.as_str())];
    let mut server = Serving::start_with(&with_config, &env).await;
    server.keeps_locks_in(&variable).await;

    let flags = [&with_config[..], &["--database-url", &flag]].concat();
    let mut server = Serving::start_with(&flags, &env).await;
    server.keeps_locks_in(&flag).await;
}

#[tokio::test]
async fn every_source_can_set_lists_and_the_file_can_be_named_by_a_variable() {
    let folder = Folder::with(
        "database-url = 'sqlite::memory:'\nlisten = '127.0.0.1:0'\nmin-ttl = '1s'\n\
         [default-ttl]\nplan = '7s'\nbuild = '8s'\n",
    );
    let config = folder.config();
    let server =
        Serving::start_with(&[], &[("LOCK_SERVER_CONFIG", config.to_str().unwrap())]).await;
    let ttl = async |server: &Serving, resource: &str| {
        super::support::take(&server.locks(), resource, "owner").await.ttl.unwrap().seconds
    };
    assert_eq!(ttl(&server, "plan/1").await, 7);
    assert_eq!(ttl(&server, "build/1").await, 8);
    assert_eq!(ttl(&server, "project/1").await, 600);

    let env = [
        ("LOCK_SERVER_DEFAULT_TTL", "plan=9s,project=10s"),
        ("LOCK_SERVER_DATABASE_URL", "sqlite::memory:"),
        // Set but empty counts as not set.
        ("LOCK_SERVER_MIN_TTL", ""),
    ];
    let server = Serving::start_with(&[], &env).await;
    assert_eq!(ttl(&server, "plan/1").await, 9);
    assert_eq!(ttl(&server, "project/1").await, 10);
}

#[tokio::test]
async fn help_is_documentation() {
    let help = run(&["--help"], &[]).await.ended_with(0);
    let unwrapped = help.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in [
        "--listen",
        "--database-url",
        "--min-ttl",
        "--max-ttl",
        "--default-ttl",
        "--sweep-interval",
        "--stale-retention",
        "--event-retention",
        "--migrate",
        "--shutdown-grace",
        "--log-format",
        "--log-level",
        "--insecure",
        "--config",
        "LOCK_SERVER_LISTEN",
        "LOCK_SERVER_DATABASE_URL",
        "127.0.0.1:50051",
        "migrate",
        "health",
        "fencing token",
    ] {
        assert!(unwrapped.contains(word), "{word} is missing:\n{}", help.stdout);
    }
    assert_eq!(help.stderr, "");
    run(&["--version"], &[]).await.ended_with(0).says(&[env!("CARGO_PKG_VERSION")]);
    let short = run(&["-h"], &[]).await.ended_with(0);
    assert!(short.stdout.len() < help.stdout.len());
}

#[tokio::test]
async fn a_password_is_never_shown() {
    let port = service_kit::testing::free_port();
    let in_url = format!("postgres://me:{SECRET}@127.0.0.1:{port}/locks");
    let in_query = format!("postgres://127.0.0.1:{port}/locks?user=me&password={SECRET}");
    let unknown = format!("mysql://me:{SECRET}@127.0.0.1/locks");
    let broken = format!("postgres://me:{SECRET}@127.0.0.1:notaport/locks");
    let at = "--log-level=debug";
    for url in [&in_url, &in_query, &unknown, &broken] {
        let listen = ["--listen", "127.0.0.1:0", at];
        let flags = [&listen[..], &["--database-url", url]].concat();
        let folder = Folder::with(&format!("database-url = '{url}'"));
        let unclosed = Folder::with(&format!("database-url = '{url}"));
        let list = Folder::with(&format!("database-url = ['{url}']"));
        for ended in [
            run(&flags, &[]).await,
            run(&[&["migrate"][..], &flags].concat(), &[]).await,
            run(&listen, &[("LOCK_SERVER_DATABASE_URL", url)]).await,
            run(&[&flags[..], &["--help"]].concat(), &[("LOCK_SERVER_DATABASE_URL", url)]).await,
            folder.run(&[]).await,
            unclosed.run(&[]).await,
            list.run(&[]).await,
        ] {
            assert!(!format!("{ended:?}").contains(SECRET), "{url}: {ended:#?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_runs_does_not_show_its_password_either() {
    let database = service_kit::testing::postgres::database().await;
    // The test's Postgres asks for no password and so takes any.
    let url = database.url().replace("postgres@", &format!("postgres:{SECRET}@"));
    assert!(url.contains(SECRET));
    let args =
        ["--listen", "127.0.0.1:0", "--log-level", "debug,sqlx=trace", "--database-url", &url];
    let mut process = Process::start(LOCK_SERVER, args, [("NO_COLOR", "1")]);
    process.wait_for_line(|line| line.contains("listening on"), DEADLINE).await;
    let shown = "postgres://postgres:***@127.0.0.1";
    process.wait_for_line(|line| line.contains(shown), DEADLINE).await;
    process.signal(service_kit::testing::Signal::SIGTERM);
    process.wait(DEADLINE).await;
    assert!(!process.output().contains(SECRET), "{}", process.output());
}
