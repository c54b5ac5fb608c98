//! The conformance suite of the stores: what every store does, run on each, and
//! what only one of them can get wrong.

#![allow(clippy::unwrap_used, reason = "a test may stop here")]
#![allow(clippy::print_stdout, reason = "the seed repeats a run that failed")]

mod kit;
mod model;
mod postgres;
mod sqlite;
mod suite;

/// Runs each behaviour of the suite on each store.
macro_rules! on_each_store {
    ($($($behaviour:ident)::+ => $name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test] async fn $name() {
                crate::$($behaviour)::+(crate::kit::Kit::sqlite().await).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test] async fn $name() {
                crate::$($behaviour)::+(crate::kit::Kit::postgres().await).await;
            })*
        }
    };
}

on_each_store! {
    suite::acquire::grants_a_free_resource => grants_a_free_resource,
    suite::acquire::reenters_a_live_lock => reenters_a_live_lock,
    suite::acquire::a_reentry_extends_only_forward => a_reentry_extends_only_forward,
    suite::acquire::conflicts_with_another_owner => conflicts_with_another_owner,
    suite::acquire::takes_over_a_stale_lock => takes_over_a_stale_lock,
    suite::acquire::grants_ones_own_stale_lock_anew => grants_ones_own_stale_lock_anew,
    suite::acquire::ids_are_compared_byte_for_byte => ids_are_compared_byte_for_byte,
    suite::lease::renews_later_and_sooner => renews_later_and_sooner,
    suite::lease::never_brings_a_lease_back => never_brings_a_lease_back,
    suite::lease::tells_why_it_does_not_renew => tells_why_it_does_not_renew,
    suite::lease::releases_once => releases_once,
    suite::lease::releases_only_ones_own => releases_only_ones_own,
    suite::lease::a_release_of_a_stale_lock => a_release_of_a_stale_lock,
    suite::lease::a_released_resource_keeps_its_token => a_released_resource_keeps_its_token,
    suite::lease::releases_everything_of_an_owner => releases_everything_of_an_owner,
    suite::batch::each_command_has_its_outcome => each_command_has_its_outcome,
    suite::batch::commands_for_one_resource_take_turns => commands_for_one_resource_take_turns,
    suite::batch::one_resource_under_many_tokens => one_resource_under_many_tokens,
    suite::batch::ten_thousand_leases_in_one_batch => ten_thousand_leases_in_one_batch,
    suite::batch::batches_in_opposite_order_do_not_deadlock => opposite_orders_do_not_deadlock,
    suite::batch::an_empty_batch_is_nothing => an_empty_batch_is_nothing,
    suite::pages::lists_live_locks_in_order => lists_live_locks_in_order,
    suite::pages::filters_literally => filters_literally,
    suite::pages::pages_through_everything_once => pages_through_everything_once,
    suite::pages::lists_stale_locks_oldest_first => lists_stale_locks_oldest_first,
    suite::sweep::purges_stale_locks_only => purges_stale_locks_only,
    suite::sweep::purges_what_matches_in_steps => purges_what_matches_in_steps,
    suite::sweep::a_pruned_resource_starts_above_its_tokens => pruned_starts_above_its_tokens,
    suite::sweep::prunes_only_what_is_free_for_long => prunes_only_what_is_free_for_long,
    suite::events::what_is_ordinary_leaves_no_trace => what_is_ordinary_leaves_no_trace,
    suite::events::breaks_exactly_the_hold_that_was_seen => breaks_exactly_the_hold_that_was_seen,
    suite::events::breaks_a_stale_lock => breaks_a_stale_lock,
    suite::events::refuses_to_break_what_has_moved_on => refuses_to_break_what_has_moved_on,
    suite::events::who_was_broken_is_told_by_whom_and_why => who_was_broken_is_told_by_whom_and_why,
    suite::events::a_takeover_is_written_down => a_takeover_is_written_down,
    suite::events::a_purge_is_one_event => a_purge_is_one_event,
    suite::events::events_are_listed_newest_first_by_resource_and_time => events_are_listed_newest_first_by_resource_and_time,
    suite::events::old_events_are_forgotten => old_events_are_forgotten,
    suite::waiting::is_granted_in_order_of_arrival => is_granted_in_order_of_arrival,
    suite::waiting::an_expiry_is_one_grant => an_expiry_is_one_grant,
    suite::waiting::a_lease_that_runs_out_is_seen_ahead => a_lease_that_runs_out_is_seen_ahead,
    suite::waiting::a_purge_leaves_what_is_waited_for => a_purge_leaves_what_is_waited_for,
    suite::waiting::a_forced_release_is_one_grant => a_forced_release_is_one_grant,
    suite::waiting::releasing_all_of_an_owner_hands_on => releasing_all_of_an_owner_hands_on,
    suite::waiting::a_lease_counts_from_its_grant => a_lease_counts_from_its_grant,
    suite::waiting::the_calls_of_an_owner_share_a_place => the_calls_of_an_owner_share_a_place,
    suite::waiting::who_has_it_does_not_wait => who_has_it_does_not_wait,
    suite::waiting::a_newcomer_never_overtakes => a_newcomer_never_overtakes,
    suite::waiting::the_first_in_line_may_come_for_it => the_first_in_line_may_come_for_it,
    suite::waiting::who_is_not_in_line_is_told_so => who_is_not_in_line_is_told_so,
    suite::waiting::asking_again_hands_on => asking_again_hands_on,
    suite::waiting::a_line_may_be_full => a_line_may_be_full,
    suite::waiting::who_leaves_is_not_granted => who_leaves_is_not_granted,
    suite::waiting::an_untaken_grant_is_passed_on => an_untaken_grant_is_passed_on,
    suite::waiting::releasing_all_of_an_owner_ends_its_waits => releasing_all_of_an_owner_ends_its_waits,
    suite::waiting::whose_wait_is_over_is_passed_by => whose_wait_is_over_is_passed_by,
    suite::waiting::who_waits_where_nobody_is_is_passed_by => who_waits_where_nobody_is_is_passed_by,
    suite::waiting::a_place_is_kept_while_its_server_may_come_back => a_place_is_kept_while_its_server_may_come_back,
    suite::waiting::what_is_granted_where_nobody_is_is_passed_on => what_is_granted_where_nobody_is_is_passed_on,
    suite::waiting::who_is_gone_is_dropped_from_the_line => who_is_gone_is_dropped_from_the_line,
    suite::waiting::a_circle_is_seen => a_circle_is_seen,
    suite::waiting::a_batch_may_hold_all_of_it => a_batch_may_hold_all_of_it,
    suite::waiting::what_is_waited_for_is_not_forgotten => what_is_waited_for_is_not_forgotten,
    suite::waiting::everybody_gets_a_turn => everybody_gets_a_turn,
    suite::watch::what_happens_is_told_once => what_happens_is_told_once,
    suite::watch::what_a_batch_does_is_told => what_a_batch_does_is_told,
    suite::watch::a_release_tells_that_the_lease_had_run_out => a_release_tells_that_the_lease_had_run_out,
    suite::watch::what_has_run_out_is_told_once => what_has_run_out_is_told_once,
    suite::watch::a_page_goes_by_its_clock => a_page_goes_by_its_clock,
    suite::watch::a_page_says_what_it_has_seen => a_page_says_what_it_has_seen,
    model::walks_like_the_model => walks_like_the_model,
    suite::sweep::a_closed_store_says_so => a_closed_store_says_so,
}
