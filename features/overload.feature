@postgres
Feature: A server that has too much to do says so
  The requests under way are bounded by a setting. Past it callers are told at
  once to come back, instead of filling the server's memory.

  Scenario: What does not fit is refused, and fits again later
    Given a lock server whose database can be taken away, with "--max-queue 4 --store-timeout 3s"
    When the database freezes
    And 20 owners acquire plan/42 at the same moment
    Then 16 of them are refused with OVERLOADED
    And 4 of them are refused with STORE_UNAVAILABLE
    When the database wakes up
    Then within a moment plan/1 answers again
    When Ann acquires plan/1
    Then the lock is granted
