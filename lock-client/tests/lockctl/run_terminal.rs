//! `lockctl run` on a terminal: who may read from it, and what Ctrl-C and
//! Ctrl-Z do.

use super::terminal::session;

#[tokio::test(flavor = "multi_thread")]
async fn the_command_may_read_from_the_terminal() {
    let script = "$LOCKCTL run plan/42 -- sh -c 'echo up; read x; echo got $x'; echo ended $?; \
                  read y; echo then $y";
    let (server, _, mut session) = session(script).await;
    session.shows("up").await;
    session.types("words\n");
    session.shows("got words").await;
    session.shows("ended 0").await;
    // And the shell has it back.
    session.types("more\n");
    session.shows("then more").await;
    session.ends().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_a_pipeline_gets_the_terminal_when_it_asks() {
    let script = "$LOCKCTL run plan/42 -- sh -c 'read x </dev/tty; echo got $x' | cat; echo ended";
    let (server, _, mut session) = session(script).await;
    session.types("words\n");
    session.shows("got words").await;
    session.shows("ended").await;
    session.ends().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_command_and_frees_the_lock() {
    let script = "$LOCKCTL run plan/42 -- sh -c 'echo up; sleep 60'; echo ended $?";
    let (server, lockctl, mut session) = session(script).await;
    session.shows("up").await;
    session.types("\u{3}");
    session.shows("ended 130").await;
    assert!(lockctl.is_free("plan/42").await);
    session.ends().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_z_suspends_both_and_fg_goes_on_with_both() {
    let script = "$LOCKCTL run plan/42 --ttl 60s -- sh -c 'echo up; read x; echo got $x'; \
                  echo suspended $?; read y; fg; echo ended $?";
    let (server, lockctl, mut session) = session(script).await;
    session.shows("up").await;
    session.types("\u{1a}");
    session.shows("suspended").await;
    assert!(!lockctl.is_free("plan/42").await);
    session.types("go\n");
    session.types("words\n");
    session.shows("got words").await;
    session.shows("ended 0").await;
    assert!(lockctl.is_free("plan/42").await);
    session.ends().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_lease_ran_out_while_suspended_does_not_go_on() {
    let script = "$LOCKCTL run plan/42 --ttl 500ms -- sh -c 'echo up; read x; echo ran$((1))'; \
                  echo suspended; read y; fg; echo ended $?";
    let (server, lockctl, mut session) = session(script).await;
    session.shows("up").await;
    session.types("\u{1a}");
    session.shows("suspended").await;
    lockctl.until_stale("plan/42").await;
    session.types("go\n");
    session.shows("ended 76").await;
    session.ends().await;
    assert!(!session.screen().contains("ran1"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_for_a_terminal_that_wants_them() {
    let script = "$LOCKCTL acquire plan/1; NO_COLOR=1 $LOCKCTL list; echo done";
    let (server, _, mut session) = session(&format!("export TERM=xterm; {script}")).await;
    session.shows("done").await;
    session.ends().await;
    let screen = session.screen();
    let (first, list) = screen.split_once("RESOURCE").unwrap();
    assert!(first.contains('\u{1b}'), "{screen:?}");
    assert!(!list.contains('\u{1b}'), "{screen:?}");
    server.stop().await;
}
