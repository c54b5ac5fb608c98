Feature: Waiting is bounded
  Everybody who waits takes memory and a row. How many may is a setting, for
  one resource and for a server; past it callers are told at once to come back.
  So is for how long.

  Scenario: For one resource
    Given a lock server with "--max-waiters-per-resource 2"
    And Ann holds plan/42
    And Ann holds plan/7
    And Bea waits for plan/42
    And Cleo waits for plan/42
    When Dora waits for plan/42
    Then Dora's wait for plan/42 is refused with OVERLOADED
    And the answer came within 5 s
    And the refusal tells
      | limit       | --max-waiters-per-resource |
      | limit_value | 2                          |
    And 2 wait for plan/42
    And Bea still waits for plan/42
    When Dora waits for plan/7
    Then 1 waits for plan/7
    When Dora acquires plan/42
    Then the request is refused with LOCK_CONFLICT
    And the refusal tells that 2 wait

  Scenario: Who stands in line already takes no more room
    Given a lock server with "--max-waiters-per-resource 2"
    And Ann holds plan/42
    And Bea waits for plan/42 to hold it for 60 s
    And Cleo waits for plan/42
    When Bea waits for plan/42 by another call to hold it for 90 s
    Then 2 wait for plan/42
    When Ann waits for plan/42
    Then Ann re-enters plan/42
    When Ann releases plan/42
    Then Bea gets plan/42
    And Bea gets plan/42 with the same token
    And 1 waits for plan/42

  Scenario: There is room again when somebody has been granted it
    Given a lock server with "--max-waiters-per-resource 1"
    And Ann holds plan/42
    And Bea waits for plan/42
    When Cleo waits for plan/42
    Then Cleo's wait for plan/42 is refused with OVERLOADED
    When Ann releases plan/42
    Then Bea is granted plan/42
    When Cleo waits for plan/42
    Then 1 waits for plan/42
    When Bea releases plan/42
    Then Cleo is granted plan/42

  Scenario: There is room again when somebody has given up
    Given a lock server with "--max-waiters-per-resource 1"
    And Ann holds plan/42
    And Bea waits for plan/42
    When Bea gives up waiting for plan/42
    Then within 5 s nobody waits for plan/42
    When Cleo waits for plan/42
    Then 1 waits for plan/42

  Scenario: At a server
    Given a lock server with "--max-waiters 2"
    And Ann holds plan/1
    And Ann holds plan/2
    And Ann holds plan/3
    And Bea waits for plan/1
    And Cleo waits for plan/2
    When Dora waits for plan/3
    Then Dora's wait for plan/3 is refused with OVERLOADED
    And the answer came within 5 s
    And the refusal tells
      | limit       | --max-waiters |
      | limit_value | 2             |
    And nobody waits for plan/3
    When Dora acquires plan/3
    Then the request is refused with LOCK_CONFLICT
    When Ann renews plan/1
    Then the lock is renewed
    When Ann releases plan/1
    Then Bea is granted plan/1
    When Dora waits for plan/3
    Then 1 waits for plan/3

  Scenario: Who waits takes none of the room for requests
    Given a lock server with "--max-queue 2"
    And Ann holds plan/42
    And 6 owners wait for plan/42
    When Bea acquires plan/7
    Then the lock is granted
    When Ann releases plan/42
    Then all 6 are granted plan/42 in the order in which they came

  @postgres
  Scenario: For one resource, over all servers
    Given two lock servers, East and West, on one database, with "--max-waiters-per-resource 2"
    And callers turn to East
    And Ann holds plan/42
    And Bea waits for plan/42
    And callers turn to West
    And Cleo waits for plan/42
    When Dora waits for plan/42
    Then Dora's wait for plan/42 is refused with OVERLOADED
    When callers turn to East
    And Edda waits for plan/42
    Then Edda's wait for plan/42 is refused with OVERLOADED
    And 2 wait for plan/42

  @postgres
  Scenario: One server may have room when another has none
    Given two lock servers, East and West, on one database, with "--max-waiters 1"
    And callers turn to East
    And Ann holds plan/42
    And Bea waits for plan/42
    When Cleo waits for plan/42
    Then Cleo's wait for plan/42 is refused with OVERLOADED
    When callers turn to West
    And Cleo waits for plan/42
    Then 2 wait for plan/42

  Scenario Outline: The longest wait is a setting
    Given a lock server with "--max-wait <setting>"
    And Ann holds plan/42
    When Acquire is asked for with
      | owner_id | Bea    |
      | wait     | <wait> |
    Then the request is refused with <reason>

    Examples:
      | setting | wait    | reason          |
      | 500ms   | 500 ms  | LOCK_CONFLICT   |
      | 500ms   | 501 ms  | INVALID_REQUEST |
      | 0s      | 0 s     | LOCK_CONFLICT   |
      | 0s      | 1 ms    | INVALID_REQUEST |
      | 1day    | 86401 s | INVALID_REQUEST |
