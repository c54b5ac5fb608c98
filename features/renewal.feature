Feature: Renewing a lease
  The holder extends its lease as long as its work goes on. The expiry becomes
  now plus the time to live, later or sooner. A renewal never brings a lease
  back that has run out.

  Background:
    Given a lock server

  Scenario: Later
    Given Ann holds plan/42 for 60 s
    When Ann renews plan/42 for 120 s
    Then the lock is renewed
    And the token is the same as before
    And it was acquired at the same time as before
    And it was renewed later than before
    And it expires 120 s after it was renewed
    And its ttl is 120 s

  Scenario: Sooner
    Given Ann holds plan/42 for 120 s
    When Ann renews plan/42 for 30 s
    Then the lock is renewed
    And it expires sooner than before
    And it expires 30 s after it was renewed
    And its ttl is 30 s

  Scenario: Without a time, the lock's own counts
    Given Ann holds plan/42 for 77 s
    When Ann renews plan/42
    Then the lock is renewed
    And it expires later than before
    And it expires 77 s after it was renewed
    And its ttl is 77 s

  Scenario: The lock's own time is the one last granted
    Given Ann holds plan/42 for 60 s
    And Ann renews plan/42 for 120 s
    When Ann renews plan/42
    Then the lock is renewed
    And its ttl is 120 s

  Scenario: Metadata stays
    Given Ann holds plan/42 for 60 s with the metadata
      | host | build-7 |
    When Ann renews plan/42 for 120 s
    Then the lock is renewed
    And its metadata is
      | host | build-7 |

  Scenario: A lease that has run out stays so
    Given Ann's lease on plan/42 has run out
    When Ann renews plan/42
    Then the request is refused with LOCK_EXPIRED
    And the refusal tells the expire_time of Ann's lock
    And plan/42 is stale

  Scenario: Another owner cannot renew, whatever token it shows
    Given Ann holds plan/42
    When Bea renews plan/42 with the token of Ann
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names Ann as the holder
    And plan/42 is held by Ann exactly as before

  Scenario: The holder cannot renew under a token that is not that of its hold
    Given Ann holds plan/42
    When Ann renews plan/42 with the token 7
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names no holder
    And plan/42 is held by Ann exactly as before

  Scenario: A token of an earlier hold is worth nothing
    Given Ann holds plan/42
    And Ann releases plan/42
    And Ann acquires plan/42
    When Ann renews plan/42 with the first token of plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names no holder

  Scenario: What was released cannot be renewed
    Given Ann holds plan/42
    And Ann releases plan/42
    When Ann renews plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names no holder
    And plan/42 is free

  Scenario: What was purged cannot be renewed
    Given Ann's lease on plan/42 has run out
    And the stale locks are purged
    When Ann renews plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names no holder

  Scenario: What never was cannot be renewed
    When Ann renews plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names no holder
    And plan/42 is free
