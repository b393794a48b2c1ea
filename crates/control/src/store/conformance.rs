//! What every [`Store`] must do. An implementation names how it is opened, and is held to all of it.

pub(super) mod approvals;
pub(super) mod entries;
pub(super) mod policies;

/// The tests, for what `$open` gives: a store and whatever must outlive it.
macro_rules! conformance {
    ($open:path) => {
        $crate::store::conformance::conformance!($open, policies:
            nothing_is_in_force_at_first,
            what_is_published_is_in_force,
            the_text_in_force_is_not_published_again,
            an_earlier_text_can_come_back,
            a_publication_based_on_another_is_refused,
            every_act_is_in_the_audit,
            lists_come_in_pages,
        );
        $crate::store::conformance::conformance!($open, approvals:
            the_same_request_is_the_same_approval,
            a_request_after_a_denial_is_a_new_one,
            a_request_after_use_or_expiry_is_a_new_one,
            an_answer_is_kept_with_the_audit,
            a_refused_answer_changes_nothing,
            one_redeems_of_a_hundred,
            one_approval_for_a_hundred_who_ask_at_once,
            a_hundred_answers_at_once_all_count,
            nobody_asks_without_end,
            lists_are_by_state,
            what_is_not_there_is_not_found,
        );
        $crate::store::conformance::conformance!($open, entries:
            an_entry_comes_back_as_it_was,
            a_later_entry_replaces_the_earlier,
            what_is_restored_replaces_nothing,
            each_filter_finds_what_it_names,
            an_outcome_is_found_by_its_word,
            conditions_on_accesses_meet_in_one,
            text_finds_the_beginnings_of_words,
            values_are_never_a_language,
            pages_are_whole_and_disjoint,
            sessions_are_summed_up,
        );
    };
    ($open:path, $module:ident: $($name:ident,)+) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $name() {
                    let (store, _kept) = $open().await;
                    $crate::store::conformance::$module::$name(store).await;
                }
            )+
        }
    };
}
pub(super) use conformance;
