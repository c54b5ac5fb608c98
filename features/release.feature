Feature: Giving a lock back
  A release ends one's own lease and nothing else. It may be sent again: what
  is free already stays free, and that is no error.

  Background:
    Given a lock server

  Scenario: A release ends the lease
    Given Ann holds plan/42
    When Ann releases plan/42
    Then the answer is that a lease ended
    And plan/42 is free

  Scenario: A second release is no error
    Given Ann holds plan/42
    And Ann releases plan/42
    When Ann releases plan/42
    Then the answer is that no lease ended
    And plan/42 is free

  Scenario: A late second release does not hurt the next holder
    Given Ann holds plan/42
    And Ann releases plan/42
    And Bea holds plan/42
    When Ann releases plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names Bea as the holder
    And plan/42 is held by Bea exactly as before

  Scenario: A release of what never was is no error
    When Ann releases plan/42
    Then the answer is that no lease ended

  Scenario: Without a token, whichever hold the owner has is released
    Given Ann holds plan/42
    When Ann releases plan/42 without a token
    Then the answer is that a lease ended
    And plan/42 is free

  Scenario Outline: Another owner releases nothing
    Given Ann holds plan/42
    When Bea releases plan/42 <how>
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names Ann as the holder
    And plan/42 is held by Ann exactly as before

    Examples:
      | how                   |
      | with the token of Ann |
      | with the token 7      |
      | without a token       |

  Scenario: A wrong token releases nothing
    Given Ann holds plan/42
    When Ann releases plan/42 with the token 7
    Then the request is refused with LOCK_NOT_HELD
    And plan/42 is held by Ann exactly as before

  Scenario: One's own stale lock is free afterwards
    Given Ann's lease on plan/42 has run out
    When Ann releases plan/42
    Then the answer is that no lease ended
    And plan/42 is free

  Scenario Outline: A stale lock of another name or token stays as it is
    Given Ann's lease on plan/42 has run out
    When <who> releases plan/42 <how>
    Then the answer is that no lease ended
    And plan/42 is stale

    Examples:
      | who | how                   |
      | Bea | with the token of Ann |
      | Bea | without a token       |
      | Ann | with the token 7      |

  Scenario: Everything of one owner at once
    Given Ann holds plan/1
    And Ann holds plan/2
    And Ann holds project/1
    And Ann's lease on plan/3 has run out
    And Bea holds plan/4
    When Ann releases everything
    Then the answer is that 3 leases ended
    And plan/1 is free
    And plan/2 is free
    And plan/3 is free
    And project/1 is free
    And plan/4 is held by Bea exactly as before

  Scenario: Everything of an owner that holds nothing
    Given Bea holds plan/4
    When Ann releases everything
    Then the answer is that 0 leases ended
    And plan/4 is held by Bea exactly as before

  Scenario: Everything of an owner that holds a lot
    Given Ann holds 1200 plans
    When Ann releases everything
    Then the answer is that 1200 leases ended
    And Ann holds nothing
