//! The conformance suite of the stores: what every store does, run on each, and
//! what only one of them can get wrong.

#![expect(clippy::unwrap_used, reason = "a test may stop here")]

mod file;
mod kit;
mod postgres;
mod shared;
mod suite;

/// Runs each behaviour of the suite on each store.
macro_rules! on_each_store {
    ($($module:ident::$behaviour:ident),* $(,)?) => {
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")] async fn $behaviour() {
                crate::suite::$module::$behaviour(crate::kit::Kit::postgres().await).await;
            })*
        }
        mod on_file {
            $(#[tokio::test(flavor = "multi_thread")] async fn $behaviour() {
                crate::suite::$module::$behaviour(crate::kit::Kit::file().await).await;
            })*
        }
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread")] async fn $behaviour() {
                crate::suite::$module::$behaviour(crate::kit::Kit::memory().await).await;
            })*
        }
    };
}

on_each_store! {
    projects::a_project_is_kept_as_it_is,
    projects::a_name_and_a_folder_are_taken_once,
    projects::one_of_many_gets_the_name_and_one_the_folder,
    projects::projects_are_listed_by_name,
    actions::an_action_is_kept_as_it_is,
    actions::one_of_100_creates_the_action,
    actions::actions_are_listed_by_name,
    plans::a_plan_is_kept_as_it_is,
    plans::a_plan_is_added_once,
    plans::output_is_counted_in_the_plan,
    plans::output_is_told_apart_by_its_run,
    plans::only_what_runs_is_cancelled,
    plans::an_end_gives_way_to_the_wish_to_cancel,
    plans::what_runs_is_found,
    plans::noted_merges_are_found,
    lists::plans_are_listed_newest_first,
    lists::plans_are_filtered,
    fences::a_late_write_changes_nothing,
    fences::every_write_raises_the_token,
    fences::what_is_not_there_is_not_written,
    fences::a_fence_that_cannot_be_is_an_error,
    changesets::a_changeset_is_kept_as_it_is,
    changesets::many_changes_keep_their_order,
    changesets::changesets_are_listed_by_id,
    changesets::what_is_over_takes_no_more,
    changesets::a_plan_begins_anew,
    changesets::parallel_steps_record_each_into_its_own,
    many::a_thousand_plans_lose_nothing,
    many::nobody_sees_half_a_plan,
    many::who_gives_up_leaves_nothing_half_done,
    many::a_closed_store_says_so,
}
