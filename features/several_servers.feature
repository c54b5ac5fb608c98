@postgres
Feature: Several servers on one Postgres
  Any server answers for any lock. A client whose server is gone goes on with
  another one.

  Background:
    Given two lock servers, East and West, on one database

  Scenario: A lock of one is a conflict at the other
    Given callers turn to East
    And Ann holds plan/42
    When callers turn to West
    And Bea acquires plan/42
    Then the request is refused with LOCK_CONFLICT
    And the refusal names Ann as the holder
    And the refusal tells the acquire_time and expire_time of Ann's lock

  Scenario: A lock of one is renewed and released at the other
    Given callers turn to East
    And Ann holds plan/42 for 60 s
    When callers turn to West
    And Ann renews plan/42 for 120 s
    Then the lock is renewed
    And the token is the same as before
    When callers turn to East
    Then plan/42 is held by Ann exactly as before
    When callers turn to West
    And Ann releases plan/42
    Then the answer is that a lease ended
    When callers turn to East
    Then plan/42 is free

  Scenario: A lock of one is re-entered at the other
    Given callers turn to East
    And Ann holds plan/42
    When callers turn to West
    And Ann acquires plan/42
    Then the lock is re-entered
    And the token is the same as before

  Scenario: A lock of one is kept alive at the other
    Given callers turn to East
    And Ann holds plan/1
    When callers turn to West
    And a keep-alive is sent for
      | Ann | plan/1 |
    Then the results are
      | plan/1 | renewed |

  Scenario: A lock that ran out at one is taken at the other, with a higher token
    Given callers turn to East
    And Ann's lease on plan/42 has run out
    When callers turn to West
    And Bea acquires plan/42
    Then the lock is granted
    And the token is higher than before
    When callers turn to East
    And Ann renews plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names Bea as the holder

  Scenario: Of many who ask both servers at the same moment exactly one gets the lock
    When 20 owners acquire plan/42 at the same moment
    Then exactly 1 of them is granted the lock
    And the others are refused with LOCK_CONFLICT, which names the one as the holder

  Scenario: When one is gone the other goes on
    Given callers turn to East
    And Ann holds plan/42
    When the server is killed
    And callers turn to West
    And Ann renews plan/42
    Then the lock is renewed
    And the token is the same as before

  Scenario: A third server that starts purges what is stale and nothing else
    Given callers turn to East
    And Ann holds plan/1
    And Ann's lease on plan/2 has run out
    When a third server North starts on the same database
    Then plan/2 is free
    And plan/1 is held by Ann exactly as before
