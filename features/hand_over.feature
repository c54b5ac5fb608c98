Feature: A lock is handed over, however its hold ends
  A release is not the only end of a hold. Whatever ends it, the lock goes to
  the first who waits, once, and at once.

  Background:
    Given a lock server

  Scenario: A lease that runs out
    Given Ann holds plan/42 for 1500 ms
    And Bea waits for plan/42 to hold it for 60 s
    And Cleo waits for plan/42
    Then Bea is granted plan/42
    And it was granted less than 1 s after Ann's lease ran out
    And what remains is more than 50 s
    And the token is higher than before
    And plan/42 is held by Bea exactly as before
    And Cleo still waits for plan/42
    And 1 waits for plan/42
    And the audit trail is
      | TAKEN_OVER | plan/42 | Ann | Bea | (none) |
    When Ann renews plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names Bea as the holder

  Scenario: One lease after the other
    Given Ann holds plan/42 for 1500 ms
    And Bea waits for plan/42 to hold it for 1 s
    And Cleo waits for plan/42 to hold it for 1 s
    And Dora waits for plan/42 to hold it for 60 s
    Then Bea is granted plan/42
    And it was granted less than 1 s after Ann's lease ran out
    And Cleo is granted plan/42
    And it was granted less than 1 s after Bea's lease ran out
    And Dora is granted plan/42
    And it was granted less than 1 s after Cleo's lease ran out
    And every grant of plan/42 had a higher token than the one before
    And the audit trail is
      | TAKEN_OVER | plan/42 | Cleo | Dora | (none) |
      | TAKEN_OVER | plan/42 | Bea  | Cleo | (none) |
      | TAKEN_OVER | plan/42 | Ann  | Bea  | (none) |

  Scenario: A lease that its holder cuts short
    Given Ann holds plan/42 for 300 s
    And Bea waits for plan/42
    When Ann renews plan/42 for 100 ms
    Then Bea is granted plan/42
    And it was granted less than 1 s after Ann's lease ran out

  Scenario: A lease that its holder renews does not run out
    Given Ann holds plan/42 for 2 s
    And Bea waits 3 s for plan/42
    When Ann renews plan/42 for 300 s
    Then Bea's wait for plan/42 is refused with LOCK_CONFLICT
    And the refusal names Ann as the holder
    And plan/42 is held by Ann exactly as before

  Scenario: A lease that its holder extends by a re-entry does not run out either
    Given Ann holds plan/42 for 2 s
    And Bea waits 3 s for plan/42
    When Ann acquires plan/42 for 300 s
    Then the lock is re-entered
    And Bea's wait for plan/42 is refused with LOCK_CONFLICT
    And plan/42 is held by Ann exactly as before

  Scenario: A release without a token
    Given Ann holds plan/42
    And Bea waits for plan/42
    When Ann releases plan/42 without a token
    Then the answer is that a lease ended
    And Bea is granted plan/42

  Scenario: A release of what is not held ends nothing
    Given Ann holds plan/42
    And Bea waits for plan/42
    When Cleo releases plan/42 without a token
    Then the request is refused with LOCK_NOT_HELD
    When Bea releases plan/42 without a token
    Then the request is refused with LOCK_NOT_HELD
    When Ann releases plan/42 with the token 7
    Then the request is refused with LOCK_NOT_HELD
    And Bea still waits for plan/42
    And plan/42 is held by Ann exactly as before

  Scenario: A second release does not hand over what the first one did
    Given Ann holds plan/42
    And Bea waits for plan/42
    And Cleo waits for plan/42
    And Ann releases plan/42
    When Ann releases plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names Bea as the holder
    And Bea is granted plan/42
    And Cleo still waits for plan/42

  Scenario: The release of everything that an owner holds
    Given Ann holds plan/1
    And Ann holds plan/2
    And Ann holds plan/3
    And Bea waits for plan/1
    And Cleo waits for plan/1
    And Cleo waits for plan/2
    When Ann releases everything
    Then the answer is that 3 leases ended
    And Bea is granted plan/1
    And Cleo is granted plan/2
    And Cleo still waits for plan/1
    And plan/3 is free
    And the audit trail is empty

  Scenario: A forced release
    Given Ann holds plan/42
    And Bea waits for plan/42
    And Cleo waits for plan/42
    When an operator breaks Ann's hold on plan/42, with the reason "stuck since noon"
    Then Ann's hold is broken
    And Bea is granted plan/42
    And the token is higher than before
    And Cleo still waits for plan/42
    And plan/42 is held by Bea exactly as before
    And the audit trail is
      | FORCE_RELEASED | plan/42 | Ann | 127.0.0.1 | stuck since noon |
    When Ann renews plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal says that 127.0.0.1 broke the hold, with the reason "stuck since noon"
    And the refusal names Bea as the holder

  Scenario: A forced release that is refused hands nothing over
    Given Ann holds plan/42
    And Bea waits for plan/42
    When an operator breaks Bea's hold on plan/42, with the reason "a mistake"
    Then the request is refused with LOCK_NOT_HELD
    And Bea still waits for plan/42
    And plan/42 is held by Ann exactly as before

  Scenario: A purge as the lease runs out
    Given Ann holds plan/42 for 1500 ms
    And Bea waits for plan/42
    And Cleo waits for plan/42
    When stale locks are purged again and again until Ann has plan/42 no more
    Then Bea is granted plan/42
    And the token is higher than before
    And Cleo still waits for plan/42
    And the audit trail is
      | TAKEN_OVER | plan/42 | Ann | Bea | (none) |
