Feature: Asking again for what one holds
  An owner that asks for its own live lock is given the same lock again. So a
  caller that saw no answer may simply ask again: nothing is granted twice,
  nothing is counted, and a hold never becomes shorter by it.

  Background:
    Given a lock server

  Scenario: The same token and the same hold
    Given Ann holds plan/42 for 60 s
    When Ann acquires plan/42 for 60 s
    Then the lock is re-entered
    And the token is the same as before
    And it was acquired at the same time as before

  Scenario: A longer lease moves the expiry, and the rest follows
    Given Ann holds plan/42 for 60 s
    When Ann acquires plan/42 for 120 s
    Then the lock is re-entered
    And the token is the same as before
    And it expires later than before
    And it was renewed later than before
    And its ttl is 120 s

  Scenario: A shorter lease moves nothing
    Given Ann holds plan/42 for 120 s
    When Ann acquires plan/42 for 5 s
    Then the lock is re-entered
    And it expires at the same time as before
    And it was renewed at the same time as before
    And its ttl is 120 s

  Scenario: The default counts where no time is asked for
    Given Ann holds plan/42 for 60 s
    When Ann acquires plan/42
    Then the lock is re-entered
    And it expires later than before
    And its ttl is 300 s

  Scenario: Metadata is replaced when the call brings any
    Given Ann holds plan/42 for 60 s with the metadata
      | step | 1   |
      | host | one |
    When Ann acquires plan/42 for 60 s with the metadata
      | step | 2 |
    Then the lock is re-entered
    And its metadata is
      | step | 2 |

  Scenario: Metadata is kept when the call brings none
    Given Ann holds plan/42 for 60 s with the metadata
      | step | 1 |
    When Ann acquires plan/42 for 90 s
    Then the lock is re-entered
    And its metadata is
      | step | 1 |

  Scenario: Metadata is replaced also where the expiry stays
    Given Ann holds plan/42 for 120 s with the metadata
      | step | 1 |
    When Ann acquires plan/42 for 5 s with the metadata
      | step | 2 |
    Then the lock is re-entered
    And it expires at the same time as before
    And its metadata is
      | step | 2 |

  Scenario: One release frees it, however often it was asked for
    Given Ann holds plan/42
    And Ann acquires plan/42
    And Ann acquires plan/42
    When Ann releases plan/42
    Then the answer is that a lease ended
    And plan/42 is free

  Scenario: One's own stale lock is granted anew
    Given Ann's lease on plan/42 has run out
    When Ann acquires plan/42
    Then the lock is granted
    And the token is higher than before
    And it was acquired later than before
