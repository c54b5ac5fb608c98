Feature: Leaving the line
  A place in line is given up as soon as nobody is there to take the lock: the
  next one moves up at once, and what would have been granted is granted to it.

  Background:
    Given a lock server
    And Ann holds plan/42

  Scenario: The wait is over
    Given Bea waits 300 ms for plan/42
    And Cleo waits for plan/42
    Then Bea's wait for plan/42 is refused with LOCK_CONFLICT
    And 1 waits for plan/42
    When Ann releases plan/42
    Then Cleo is granted plan/42

  Scenario: The call is cancelled
    Given Bea waits for plan/42
    And Cleo waits for plan/42
    When Bea gives up waiting for plan/42
    Then within 5 s 1 waits for plan/42
    When Ann releases plan/42
    Then Cleo is granted plan/42
    And plan/42 is held by Cleo exactly as before

  Scenario: The call is cancelled as the lock is released
    Given Bea waits for plan/42
    And Cleo waits for plan/42
    When Bea gives up waiting for plan/42
    And Ann releases plan/42
    Then Cleo is granted plan/42
    And plan/42 is held by Cleo exactly as before
    And nobody waits for plan/42

  Scenario: The call is cancelled by the last one in line, as the lock is released
    Given Bea waits for plan/42
    When Bea gives up waiting for plan/42
    And Ann releases plan/42
    Then within a moment plan/42 is free

  Scenario: The caller's deadline is over
    Given Bea waits for plan/42 by a call of 500 ms
    And Cleo waits for plan/42
    Then Bea's call for plan/42 is over
    And the answer came within 5 s
    And within 5 s 1 waits for plan/42
    When Ann releases plan/42
    Then Cleo is granted plan/42

  Scenario: All have gone
    Given Bea waits for plan/42
    And Cleo waits for plan/42
    When Cleo gives up waiting for plan/42
    And Bea gives up waiting for plan/42
    Then within 5 s nobody waits for plan/42
    When Ann releases plan/42
    Then plan/42 is free
    When Dora acquires plan/42
    Then the lock is granted

  Scenario: Who has gone and comes back is last
    Given Bea waits for plan/42
    And Cleo waits for plan/42
    When Bea gives up waiting for plan/42
    Then within 5 s 1 waits for plan/42
    When Bea waits for plan/42
    And Ann releases plan/42
    Then Cleo is granted plan/42
    And Bea still waits for plan/42

  Scenario: The owner releases everything
    Given Bea holds plan/1
    And Bea waits for plan/42
    And Cleo waits for plan/42
    When Bea releases everything
    Then the answer is that 1 lease ended
    And Bea's wait for plan/42 is refused with WAIT_CANCELLED
    And the refusal tells
      | resource | plan/42 |
      | owner_id | Bea     |
    And 1 waits for plan/42
    And plan/1 is free
    And Cleo still waits for plan/42
    When Ann releases plan/42
    Then Cleo is granted plan/42
    And the audit trail is empty

  Scenario: The owner releases everything, and waits in several lines
    Given Ann holds plan/1
    And Ann holds plan/2
    And Bea waits for plan/1
    And Bea waits for plan/2
    And Cleo waits for plan/2
    And Bea waits for plan/2 by another call to hold it for 90 s
    When Bea releases everything
    Then the answer is that 0 leases ended
    And Bea's wait for plan/1 is refused with WAIT_CANCELLED
    And Bea's wait for plan/2 is refused with WAIT_CANCELLED
    And Bea's wait for plan/2 is refused with WAIT_CANCELLED
    And nobody waits for plan/1
    And 1 waits for plan/2

  Scenario: Who released everything may wait again, as the last
    Given Bea waits for plan/42
    And Cleo waits for plan/42
    When Bea releases everything
    Then Bea's wait for plan/42 is refused with WAIT_CANCELLED
    When Bea waits for plan/42
    And Ann releases plan/42
    Then Cleo is granted plan/42
    And Bea still waits for plan/42
    When Cleo releases plan/42
    Then Bea is granted plan/42

  Scenario: A forced release takes nobody out of line
    Given Bea holds plan/1
    And Bea waits for plan/42
    When an operator breaks Bea's hold on plan/1, with the reason "stuck"
    Then Bea's hold is broken
    And Bea still waits for plan/42
    When Ann releases plan/42
    Then Bea is granted plan/42

  Scenario: Who leaves one line stays in the others
    Given Ann holds plan/1
    And Bea waits for plan/1
    And Bea waits for plan/42
    When Bea gives up waiting for plan/42
    Then within 5 s nobody waits for plan/42
    And 1 waits for plan/1
    When Ann releases plan/1
    Then Bea is granted plan/1
