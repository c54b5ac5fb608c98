//! The settings of waiting: documented, and named where they are wrong.

use crate::support::{Serving, run};

#[tokio::test]
async fn a_wrong_setting_names_itself_and_the_right_form() {
    let cases: [(&[&str], &[&str]); 14] = [
        (&["--max-wait", "5"], &["--max-wait", "300s"]),
        (&["--max-wait", "soon"], &["--max-wait", "300s"]),
        (&["--max-wait", "25h"], &["--max-wait", "1day"]),
        (&["--max-wait=-1s"], &["--max-wait"]),
        (&["--max-waiters", "0"], &["--max-waiters", "1 to 1000000"]),
        (&["--max-waiters", "1000001"], &["--max-waiters", "1 to 1000000"]),
        (&["--max-waiters", "many"], &["--max-waiters"]),
        (&["--max-waiters-per-resource", "0"], &["--max-waiters-per-resource", "1 to 1000000"]),
        (&["--max-waiters-per-resource=-1"], &["--max-waiters-per-resource"]),
        (&["--max-waiters-per-resource", "99999999999999999999"], &["--max-waiters-per-resource"]),
        (&["--waiter-grace", "10"], &["--waiter-grace", "300s"]),
        (&["--waiter-grace", "999ms"], &["--waiter-grace", "1s to 10m"]),
        (&["--waiter-grace", "11m"], &["--waiter-grace", "1s to 10m"]),
        (&["--max-waiter", "5"], &["--max-waiter", "--max-waiters"]),
    ];
    for (flags, words) in cases {
        run(flags, &[]).await.ended_with(64).complains(words);
    }
    for (name, value, words) in [
        ("LOCK_SERVER_MAX_WAIT", "5", &["--max-wait", "300s"]),
        ("LOCK_SERVER_MAX_WAITERS", "none", &["--max-waiters", "none"]),
        ("LOCK_SERVER_MAX_WAITERS_PER_RESOURCE", "x", &["--max-waiters-per-resource", "x"]),
        ("LOCK_SERVER_WAITER_GRACE", "5", &["--waiter-grace", "300s"]),
    ] {
        run(&[], &[(name, value)]).await.ended_with(64).complains(&[name]).complains(words);
    }
}

#[tokio::test]
async fn a_wrong_key_or_value_of_the_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lock-server.toml");
    for (config, words) in [
        ("max-wait = 5", &["max-wait", "300s"][..]),
        ("max-wait = '25h'", &["max-wait", "1day"]),
        ("max_waiters = 5", &["max_waiters", "did you mean `max-waiters`"]),
        ("max-waiters = 0", &["max-waiters", "1 to 1000000"]),
        ("max-waiters-per-resource = 'x'", &["max-waiters-per-resource"]),
        ("waiter-grace = '0s'", &["waiter-grace", "1s to 10m"]),
    ] {
        std::fs::write(&file, config).unwrap();
        let file = file.to_str().unwrap();
        run(&["--config", file], &[]).await.ended_with(64).complains(words);
    }
}

#[tokio::test]
async fn the_limits_themselves_are_right() {
    for flags in [
        ["--max-wait", "1day", "--max-waiters", "1000000", "--waiter-grace", "10m"],
        ["--max-wait", "0s", "--max-waiters-per-resource", "1", "--waiter-grace", "1s"],
    ] {
        let flags = [&["--database-url", "sqlite::memory:"][..], &flags].concat();
        Serving::start(&flags).await;
    }
}

#[tokio::test]
async fn the_help_says_what_they_are() {
    let help = run(&["--help"], &[]).await.ended_with(0);
    let unwrapped = help.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for (flag, words) in [
        ("--max-wait <SPAN>", &["longest wait", "[default: 1h]", "LOCK_SERVER_MAX_WAIT="][..]),
        ("--max-waiters <COUNT>", &["at this server", "OVERLOADED", "LOCK_SERVER_MAX_WAITERS="]),
        (
            "--max-waiters-per-resource <COUNT>",
            &["one resource", "all servers", "LOCK_SERVER_MAX_WAITERS_PER_RESOURCE="],
        ),
        ("--waiter-grace <SPAN>", &["kept", "[default: 10s]", "LOCK_SERVER_WAITER_GRACE="]),
    ] {
        let (_, about) = unwrapped
            .split_once(flag)
            .unwrap_or_else(|| panic!("{flag} is missing:\n{}", help.stdout));
        let about = about.split(" --").next().unwrap();
        for word in words {
            assert!(about.contains(word), "{flag} says nothing of {word:?}: {about}");
        }
    }
}
