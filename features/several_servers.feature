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

  Scenario: A hold that is broken through one is lost at the other
    Given callers turn to East
    And Ann holds plan/42
    When callers turn to West
    And an operator breaks Ann's hold on plan/42, with the reason "stuck since noon"
    Then Ann's hold is broken
    When callers turn to East
    Then plan/42 is free
    When Ann renews plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal says that 127.0.0.1 broke the hold, with the reason "stuck since noon"
    And the audit trail is
      | FORCE_RELEASED | plan/42 | Ann | 127.0.0.1 | stuck since noon |

  Scenario: An open stream of keep-alives hears of what was broken through the other
    Given callers turn to East
    And Ann holds plan/42
    And Ann keeps plan/42 alive over an open stream
    When callers turn to West
    And an operator breaks Ann's hold on plan/42, with the reason "stuck"
    And Bea acquires plan/42
    Then the lock is granted
    And the token is higher than before
    When a keep-alive is sent for
      | Ann | plan/42 |
    Then the results are
      | plan/42 | LOCK_NOT_HELD, broken by 127.0.0.1 (stuck), held by Bea |

  Scenario: Of many operators at both servers exactly one breaks the hold
    Given callers turn to East
    And Ann holds plan/42
    When 20 operators break Ann's hold on plan/42 at the same moment
    Then exactly 1 of them broke the hold
    And 19 of them are refused with LOCK_NOT_FOUND
    And the audit trail holds 1 FORCE_RELEASED
    And the audit trail holds 19 FORCE_RELEASE_REFUSED

  Scenario: A stale lock that many want at both servers is taken over once
    Given callers turn to East
    And Ann's lease on plan/42 has run out
    When 20 owners acquire plan/42 at the same moment
    Then exactly 1 of them is granted the lock
    And the audit trail holds 1 TAKEN_OVER
    And the newest event tells of Ann's token

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
