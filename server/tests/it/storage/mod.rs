//! What every database must do: one set of tests, run on each.

mod accounts;
mod characters;
mod dead_letters;
mod fences;
mod guests;
mod hints;
mod hosts;
mod identities;
mod leases;
mod membership;
mod opening;
mod origin;
mod outages;
mod poolers;
mod rows;
mod setup;
mod standby;
pub(crate) mod tls;

/// Makes a test of each function for each of these databases.
macro_rules! contract {
    ([$($module:ident: $kind:ident),*] $tests:tt) => {
        $(contract! { @ $module $kind $tests })*
    };
    (@ $module:ident $kind:ident { $($room:ident :: $test:ident),* $(,)? }) => {
        mod $module {
            use crate::harness::{Database, Kind};
            $(
                #[tokio::test]
                async fn $test() {
                    super::$room::$test(&Database::new(Kind::$kind).await).await;
                }
            )*
        }
    };
}

contract! { [sqlite: Sqlite, postgres: Postgres, memory: Memory] {
    accounts::a_folded_name_is_taken_once,
    accounts::an_account_is_found_by_name_and_by_user,
    accounts::making_an_account_may_be_repeated,
    accounts::a_strange_name_is_nobodys,
    accounts::a_password_hash_is_replaced_only_by_who_knows_it,
    accounts::some_account_s_hash_is_found_from_every_user_on,
    accounts::a_user_is_known_where_a_session_began,
    accounts::a_session_needs_an_account_with_the_same_password,
    accounts::a_new_password_ends_all_sessions_but_one,
    accounts::no_session_slips_past_a_new_password,
    accounts::a_user_s_living_sessions_are_listed,
    accounts::a_change_of_an_account_ends_its_sessions,
    accounts::no_session_slips_past_the_end_of_an_account,
    accounts::a_departed_user_is_forgotten_when_the_characters_are_deleted,
    guests::a_guest_is_claimed_once,
    guests::a_taken_name_cannot_be_claimed,
    guests::a_claim_ends_all_sessions_but_one,
    guests::of_two_claims_one_wins,
    guests::guests_who_never_came_back_are_purged,
    guests::a_guest_who_plays_on_is_kept,
    guests::no_session_slips_past_the_purge_of_a_guest,
    identities::a_user_of_an_issuer_gets_one_account,
    identities::of_two_first_logins_one_makes_the_account,
    accounts::accounts_are_listed_by_their_folded_names,
    accounts::all_sessions_of_a_user_are_revoked,
    accounts::a_session_is_kept,
    accounts::of_two_rotations_one_wins,
    accounts::a_revoked_session_stays_dead,
    accounts::the_sessions_of_a_user_that_were_refreshed_last_live_on,
    accounts::sessions_that_are_over_are_found_and_forgotten,
    accounts::of_two_changes_of_the_keys_one_wins,
    accounts::keys_are_replaced_only_by_somebody_who_knows_them,
    accounts::audit_rows_are_added_once_and_forgotten_oldest_first,
    leases::shards_are_born_released,
    leases::a_takeover_counts_recoveries_only_where_nothing_was_released,
    leases::a_takeover_ends_the_leases_before_it,
    leases::release_passes_over_what_is_gone,
    leases::a_released_lease_proves_nothing,
    leases::only_what_nobody_has_is_taken_again,
    leases::takeovers_at_once_agree,
    origin::a_restore_fences_even_servers_that_the_backup_does_not_know,
    origin::a_restore_ends_sessions_and_replaces_the_keys_of_tokens,
    origin::a_database_that_stays_what_it_is_is_not_taken_for_restored,
    characters::what_is_saved_is_loaded,
    characters::a_version_never_falls,
    characters::a_save_may_be_repeated,
    characters::a_deleted_character_is_not_loaded,
    characters::characters_are_loaded_oldest_first,
    characters::request_ids_keep_their_order,
    characters::a_thousand_rows_and_large_states_fit_in_one_save,
    characters::an_empty_save_proves_its_leases,
    characters::a_row_without_a_lease_refuses_its_batch,
    characters::a_refused_row_refuses_its_batch,
    characters::names_and_states_in_any_script_are_kept,
    characters::long_deleted_characters_are_purged_in_steps_and_no_others,
    fences::a_load_without_a_lease_is_fenced,
    fences::a_save_without_a_lease_writes_nothing,
    fences::of_a_batch_only_what_is_held_is_written,
    fences::dead_letters_are_fenced,
    dead_letters::a_dead_letter_is_kept_whole,
    dead_letters::there_is_one_dead_letter_a_character,
    dead_letters::what_no_column_takes_can_be_put_away,
    dead_letters::a_retry_writes_and_forgets,
    dead_letters::a_refused_retry_changes_nothing,
    dead_letters::a_discard_moves_the_version_on,
    dead_letters::a_late_write_changes_nothing_after_a_decision,
    dead_letters::a_letter_is_forgotten_by_its_version,
    dead_letters::a_decision_that_cannot_be_carried_out_is_taken_back,
    dead_letters::a_retry_never_gives_up_a_state_that_the_database_has_overtaken,
    dead_letters::a_decision_concerns_only_the_letter_that_it_was_made_on,
    dead_letters::a_letter_that_cannot_be_read_hides_no_other,
    dead_letters::a_decision_needs_a_dead_letter,
}}

// Databases that several processes share.
contract! { [processes_on_postgres: Postgres, processes_in_memory: Memory] {
    membership::a_process_is_registered_as_it_says,
    membership::servers_and_nodes_keep_one_another_out_until_they_are_seen_dead,
    membership::of_a_server_and_a_node_that_register_at_once_one_is_refused,
    membership::a_renewal_raises_the_heartbeat_and_reads_the_leases,
    membership::all_nodes_follow_what_was_published_last,
    membership::the_leases_of_a_registered_server_name_its_process,
    membership::a_take_needs_the_epoch_and_the_heartbeat_that_were_seen,
    membership::of_two_takes_at_once_one_gets_each_shard,
    membership::a_transfer_happens_once_and_tells_the_lease_however_often_it_is_repeated,
    membership::a_transfer_and_a_take_at_once_agree,
    membership::the_dead_are_forgotten_once_they_own_nothing,
    membership::nodes_drain_by_their_name,
}}
