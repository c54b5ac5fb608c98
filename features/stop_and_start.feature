Feature: Servers stop and start, and locks stay
  A lock is in the database, not in a server. A server that stops says so,
  finishes what is under way and sends its clients elsewhere; one that dies
  says nothing. Either way the next one knows every lock.

  Scenario: A graceful stop tells those who watch the health
    Given a lock server
    And someone watches the health of "lock.v1.LockService"
    When the server is told to stop
    Then the health turns to NOT_SERVING
    And the server ends by itself

  Scenario: A graceful stop turns clients away and leaves locks alone
    Given a lock server
    And Ann holds plan/42
    And Ann keeps plan/42 alive over an open stream
    When the server is told to stop
    Then the open stream ends with SHUTTING_DOWN
    And the server ends by itself
    When the server starts again
    Then plan/42 is held by Ann exactly as before
    And the health of "lock.v1.LockService" is SERVING

  Scenario: A graceful stop tells those who wait, at once
    Given a lock server
    And Ann holds plan/42
    And Bea waits for plan/42
    And Cleo waits for plan/42
    When the server is told to stop
    Then Bea's wait for plan/42 is refused with SHUTTING_DOWN
    And Cleo's wait for plan/42 is refused with SHUTTING_DOWN
    And the server ends by itself
    When the server starts again
    Then plan/42 is held by Ann exactly as before

  Scenario Outline: Their places are kept for those who ask again soon
    Given a lock server
    And Ann holds plan/42
    And Bea waits for plan/42
    And Cleo waits for plan/42
    When the server <ends>
    And the server starts again
    And those who wait ask again, the last first
    Then 2 wait for plan/42
    When Ann releases plan/42
    Then Bea is granted plan/42
    And Cleo still waits for plan/42
    When Bea releases plan/42
    Then Cleo is granted plan/42

    Examples:
      | ends      |
      | stops     |
      | is killed |

  Scenario Outline: And are nobody's when they do not
    Given a lock server with "--waiter-grace 1s"
    And Ann holds plan/42
    And Bea waits for plan/42
    When the server <ends>
    And the server starts again
    Then within a moment nobody waits for plan/42
    When Cleo waits for plan/42
    And Ann releases plan/42
    Then Cleo is granted plan/42

    Examples:
      | ends      |
      | stops     |
      | is killed |

  Scenario: A server without callers stops at once
    Given a lock server
    When the server is told to stop
    Then the server ends by itself

  Scenario Outline: A restart loses nothing
    Given a lock server
    And Ann holds plan/42 for 60 s with the metadata
      | host | build-7 |
    And Bea holds project/7 for 90 s
    And Cleo holds plan/1
    And Cleo releases plan/1
    When the server <ends>
    And the server starts again
    Then plan/42 is held by Ann exactly as before
    And project/7 is held by Bea exactly as before
    And plan/1 is free
    When Ann renews plan/42
    Then the lock is renewed
    And the token is the same as before

    Examples:
      | ends      |
      | stops     |
      | is killed |

  Scenario Outline: Tokens grow over a restart
    Given a lock server
    And Ann holds plan/42
    And Ann releases plan/42
    When the server <ends>
    And the server starts again
    And Ann acquires plan/42
    Then the lock is granted
    And the token is higher than before

    Examples:
      | ends      |
      | stops     |
      | is killed |

  @sqlite
  Scenario: One file has one server
    Given a lock server
    And Ann holds plan/42
    When a second server is started on the same database
    Then it refuses to start and says that another server uses the file
    And plan/42 is held by Ann exactly as before
