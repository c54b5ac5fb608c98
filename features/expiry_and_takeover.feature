Feature: A lease that runs out, and who takes the lock then
  A holder that is heard of no more keeps nobody waiting: when its lease has
  run out the lock is stale, and anybody's to take. The old holder may come
  back, late, and is then told the truth: it holds nothing, and can break
  nothing.

  Background:
    Given a lock server

  Scenario: A stale lock is still seen, with nothing remaining
    Given Ann's lease on plan/42 has run out
    When someone looks at plan/42
    Then its owner is Ann
    And it is stale with nothing remaining

  Scenario: Another owner takes a stale lock, with a higher token
    Given Ann's lease on plan/42 has run out
    When Bea acquires plan/42
    Then the lock is granted
    And the token is higher than before
    And plan/42 is held by Bea

  Scenario: Nothing of the old hold is left in the new one
    Given Ann holds plan/42 for 60 s with the metadata
      | host | build-7 |
    And Ann's lease on plan/42 has run out
    When Bea acquires plan/42 for 60 s
    Then the lock is granted
    And its ttl is 60 s
    And its metadata is empty
    And it was acquired later than before

  Scenario: The old holder cannot renew after a takeover
    Given Ann's lease on plan/42 has run out
    And Bea holds plan/42
    When Ann renews plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names Bea as the holder
    And plan/42 is held by Bea exactly as before

  Scenario: The old holder cannot release after a takeover
    Given Ann's lease on plan/42 has run out
    And Bea holds plan/42
    When Ann releases plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names Bea as the holder
    And plan/42 is held by Bea exactly as before

  Scenario: The old holder is in the way of the new one no more than anybody
    Given Ann's lease on plan/42 has run out
    And Bea holds plan/42
    When Ann acquires plan/42
    Then the request is refused with LOCK_CONFLICT
    And the refusal names Bea as the holder

  Scenario: Who lost its lock to another that then lost it, too, holds nothing
    Given Ann's lease on plan/42 has run out
    And Bea's lease on plan/42 has run out
    When Ann renews plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names no holder

  Scenario: Of many who want a stale lock exactly one gets it
    Given Ann's lease on plan/42 has run out
    When 20 owners acquire plan/42 at the same moment
    Then exactly 1 of them is granted the lock
    And the others are refused with LOCK_CONFLICT, which names the one as the holder
    And every grant of plan/42 had a higher token than the one before
