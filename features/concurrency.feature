Feature: Only one owner at a time
  A lock is held by one owner. Everybody else who asks for it meanwhile is told
  so at once. Each grant comes with a fencing token that is higher than every
  token of the same resource before, so that what the lock protects can tell a
  holder of today from one of yesterday.

  Background:
    Given a lock server

  Scenario: A free resource is granted
    When Ann acquires plan/42
    Then the lock is granted
    And plan/42 is held by Ann

  Scenario: A held resource is refused to others
    Given Ann holds plan/42
    When Bea acquires plan/42
    Then the request is refused with LOCK_CONFLICT
    And plan/42 is held by Ann exactly as before

  Scenario: The next owner gets it once it is released, with a higher token
    Given Ann holds plan/42
    When Ann releases plan/42
    And Bea acquires plan/42
    Then the lock is granted
    And the token is higher than before
    And plan/42 is held by Bea

  Scenario: The same owner gets a new token for a new grant
    Given Ann holds plan/42
    And Ann releases plan/42
    When Ann acquires plan/42
    Then the lock is granted
    And the token is higher than before

  Scenario: The same id under two types is two resources
    Given Ann holds plan/42
    When Bea acquires project/42
    Then the lock is granted
    And plan/42 is held by Ann
    And project/42 is held by Bea

  Scenario: Ids are compared byte for byte
    Given Ann holds plan/a
    When Bea acquires plan/A
    Then the lock is granted
    And plan/a is held by Ann

  Scenario: One owner may hold many resources
    Given Ann holds plan/1
    When Ann acquires plan/2
    Then the lock is granted
    And plan/1 is held by Ann
    And plan/2 is held by Ann

  Scenario: The lock tells when it was granted, for how long, and to whom
    When Ann acquires plan/42 for 60 s with the metadata
      | host | build-7 |
      | pid  | 4711    |
    Then the lock is granted
    And its owner is Ann
    And it was last renewed when it was acquired
    And it expires 60 s after it was acquired
    And what remains is at most 60 s
    And its metadata is
      | host | build-7 |
      | pid  | 4711    |

  Scenario: Of many who ask at the same moment exactly one gets the lock
    When 20 owners acquire plan/42 at the same moment
    Then exactly 1 of them is granted the lock
    And the others are refused with LOCK_CONFLICT, which names the one as the holder

  Scenario: Many who ask for different resources all get them
    When 20 owners each acquire a plan of their own at the same moment
    Then exactly 20 of them are granted the lock

  Scenario: Tokens grow over every way in which a lock changes hands
    Given Ann holds plan/42
    And Ann releases plan/42
    And Bea's lease on plan/42 has run out
    And Cleo's lease on plan/42 has run out
    And the stale locks are purged
    And Dora holds plan/42
    And Dora releases everything
    When Ann acquires plan/42
    Then the lock is granted
    And every grant of plan/42 had a higher token than the one before
