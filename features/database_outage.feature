@postgres
Feature: The database goes away and comes back
  Without its database a server cannot know who holds what, and says so in
  bounded time: it never hangs, and never says yes to what may not be on disk.
  The process itself is well, so a restart would help nobody; when the database
  is back, so is the service.

  Scenario Outline: Away and back
    Given a lock server whose database can be taken away, with "--store-timeout 1s"
    And Ann holds plan/42 for 600 s
    When the database <goes>
    And Bea acquires plan/7
    Then the request is refused with STORE_UNAVAILABLE
    And the answer came within 5 s
    When Ann renews plan/42
    Then the request is refused with STORE_UNAVAILABLE
    When Ann releases plan/42
    Then the request is refused with STORE_UNAVAILABLE
    When the locks are listed
    Then the request is refused with STORE_UNAVAILABLE
    When an operator breaks Ann's hold on plan/42, with the reason "stuck"
    Then the request is refused with STORE_UNAVAILABLE
    When the events are listed
    Then the request is refused with STORE_UNAVAILABLE
    And the answer came within 5 s
    And within a moment the health of "lock.v1.LockService" is NOT_SERVING
    And the health of "" is SERVING
    When the database <returns>
    Then within a moment the health of "lock.v1.LockService" is SERVING
    And within a moment plan/42 answers again
    When Bea acquires plan/8
    Then the lock is granted

    Examples:
      | goes     | returns     |
      | stops    | starts      |
      | crashes  | starts      |
      | freezes  | wakes up    |

  Scenario: A lock that was granted before a crash is there after it
    Given a lock server whose database can be taken away, with "--store-timeout 1s"
    And Ann holds plan/42 for 600 s
    When the database crashes
    And the database starts
    Then within a moment plan/42 answers again
    And plan/42 is held by Ann exactly as before
    When Ann renews plan/42
    Then the lock is renewed
    And the token is the same as before

  Scenario: A keep-alive ends without a word on the leases
    Given a lock server whose database can be taken away, with "--store-timeout 1s"
    And Ann holds plan/1 for 600 s
    When the database crashes
    And a keep-alive is sent for
      | Ann | plan/1 |
    Then the request is refused with STORE_UNAVAILABLE
    And the answer came within 5 s
    When the database starts
    Then within a moment plan/1 answers again
    When a keep-alive is sent for
      | Ann | plan/1 |
    Then the results are
      | plan/1 | renewed |
