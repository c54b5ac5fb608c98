Feature: Deadlocks are told
  Owners who wait for each other would wait for ever, or until a lease runs out.
  Whoever would close such a circle is refused at once, and told who waits for
  whom.

  Background:
    Given a lock server

  Scenario: Two who wait for each other
    Given Ann holds plan/1
    And Bea holds plan/2
    And Ann waits for plan/2
    When Bea waits for plan/1
    Then Bea's wait for plan/1 is refused with DEADLOCK
    And the answer came within 1 s
    And the refusal tells
      | cycle    | Bea → plan/1 → Ann → plan/2 → Bea |
      | resource | plan/1                            |
      | owner_id | Bea                               |
      | holder   | Ann                               |
    And nobody waits for plan/1
    And Ann still waits for plan/2
    And plan/2 is held by Bea
    When Bea releases plan/2
    Then Ann is granted plan/2

  Scenario: Three in a circle
    Given Ann holds plan/1
    And Bea holds plan/2
    And Cleo holds project/3
    And Ann waits for plan/2
    And Bea waits for project/3
    When Cleo waits for plan/1
    Then Cleo's wait for plan/1 is refused with DEADLOCK
    And the answer came within 1 s
    And the refusal tells
      | cycle | Cleo → plan/1 → Ann → plan/2 → Bea → project/3 → Cleo |
    And Ann still waits for plan/2
    And Bea still waits for project/3
    When Cleo releases project/3
    Then Bea is granted project/3
    When Bea releases plan/2
    Then Ann is granted plan/2

  Scenario: Others in line are none of it
    Given Ann holds plan/1
    And Bea holds plan/2
    And Dora waits for plan/1
    And Cleo waits for plan/2
    And Ann waits for plan/2
    When Bea waits for plan/1
    Then Bea's wait for plan/1 is refused with DEADLOCK
    And the refusal tells
      | cycle | Bea → plan/1 → Ann → plan/2 → Bea |
    And Dora still waits for plan/1
    And Cleo still waits for plan/2
    And Ann still waits for plan/2
    And 1 waits for plan/1
    And 2 wait for plan/2

  Scenario: A chain is none
    Given Ann holds plan/1
    And Bea holds plan/2
    And Cleo holds plan/3
    And Dora waits for plan/3
    And Bea waits for plan/1
    When Cleo waits for plan/2
    And Dora waits for plan/1
    Then 2 wait for plan/1
    And 1 waits for plan/2
    And 1 waits for plan/3
    When Ann releases plan/1
    Then Bea is granted plan/1
    When Bea releases plan/2
    Then Cleo is granted plan/2
    When Cleo releases plan/3
    Then Dora is granted plan/3
    And Dora still waits for plan/1

  Scenario: Two who wait for the same are none, until one has this and one has that
    Given Ann holds plan/1
    And Ann holds plan/2
    And Bea waits for plan/1
    And Cleo waits for plan/2
    When Bea waits for plan/2
    And Cleo waits for plan/1
    Then 2 wait for plan/1
    And 2 wait for plan/2
    When Ann releases everything
    Then Bea is granted plan/1
    And Cleo is granted plan/2
    And Cleo's wait for plan/1 is refused with DEADLOCK
    When Cleo releases plan/2
    Then Bea is granted plan/2

  Scenario: Who asks without waiting is in no circle
    Given Ann holds plan/1
    And Bea holds plan/2
    And Ann waits for plan/2
    When Bea acquires plan/1
    Then the request is refused with LOCK_CONFLICT
    And the refusal names Ann as the holder
    And Ann still waits for plan/2

  Scenario: An owner that waits for two resources closes a circle by one of them
    Given Ann holds plan/1
    And Bea holds plan/2
    And Cleo holds plan/3
    And Ann waits for plan/3
    And Ann waits for plan/2
    When Bea waits for plan/1
    Then Bea's wait for plan/1 is refused with DEADLOCK
    And the refusal tells
      | cycle | Bea → plan/1 → Ann → plan/2 → Bea |
    And Ann still waits for plan/3
    And Ann still waits for plan/2

  Scenario: A circle that a grant closes is told, too
    Bea is first in line for plan/1, and holds what its next holder waits for.
    Given Ann holds plan/1
    And Bea holds plan/2
    And Cleo waits for plan/1
    And Bea waits for plan/1
    And Cleo waits for plan/2
    When Ann releases plan/1
    Then Cleo is granted plan/1
    And Cleo's wait for plan/2 is refused with DEADLOCK
    And the refusal tells
      | cycle | Cleo → plan/2 → Bea → plan/1 → Cleo |
    And Bea still waits for plan/1
    When Cleo releases plan/1
    Then Bea is granted plan/1

  Scenario: Who gives up its wait opens the circle
    Given Ann holds plan/1
    And Bea holds plan/2
    And Ann waits for plan/2
    And Ann gives up waiting for plan/2
    Then within 5 s nobody waits for plan/2
    When Bea waits for plan/1
    Then 1 waits for plan/1
    When Ann releases plan/1
    Then Bea is granted plan/1

  Scenario: Who was refused may try again when it has released something
    Given Ann holds plan/1
    And Bea holds plan/2
    And Ann waits for plan/2
    And Bea waits for plan/1
    Then Bea's wait for plan/1 is refused with DEADLOCK
    When Bea releases plan/2
    And Bea waits for plan/1
    Then Ann is granted plan/2
    When Ann releases plan/1
    Then Bea is granted plan/1

  Scenario: Two who close a circle at the same moment
    Given Ann holds plan/1
    And Bea holds plan/2
    When Ann waits for plan/2 and Bea for plan/1 at the same moment
    Then one of Ann's wait for plan/2 and Bea's for plan/1 is refused with DEADLOCK within 2 s
    And the other one is granted it once the refused one releases everything
