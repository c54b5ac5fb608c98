Feature: A conflict says who, since when and for how long
  A caller that is refused because another owner holds the lock gets all that
  it needs to decide what to do, in a form that a program can read.

  Scenario: Everything about the holder is told
    Given a lock server
    And Ann holds plan/42 for 60 s with the metadata
      | host | build-7          |
      | job  | nightly "deploy" |
    When Bea acquires plan/42
    Then the request is refused with LOCK_CONFLICT
    And the refusal tells
      | resource     | plan/42          |
      | holder       | Ann              |
      | queue_length | 0                |
      | holder.host  | build-7          |
      | holder.job   | nightly "deploy" |
    And the refusal tells the acquire_time and expire_time of Ann's lock
    And the refusal tells between 1 and 60000 as the remaining_ms
    And the refusal's ResourceInfo names Ann as the owner
    And the refusal says to try again after more than nothing and at most 60 s

  Scenario: A holder without metadata has none in the conflict
    Given a lock server
    And Ann holds plan/42
    When Bea acquires plan/42
    Then the request is refused with LOCK_CONFLICT
    And the refusal tells nothing under "holder."

  Scenario: After a renewal the new expiry is told
    Given a lock server
    And Ann holds plan/42 for 60 s
    And Ann renews plan/42 for 120 s
    When Bea acquires plan/42
    Then the request is refused with LOCK_CONFLICT
    And the refusal tells the acquire_time and expire_time of Ann's lock
    And the refusal tells between 60001 and 120000 as the remaining_ms

  Scenario Outline: The largest conflict can be read by every client
    Default clients drop an answer whose headers take more than 8 KiB.
    Given a lock server
    And an owner of <owner> holds a plan of <id> with 4 metadata values of <value>
    When Bea acquires the same plan
    Then the request is refused with LOCK_CONFLICT
    And the refusal takes less than 8 KiB on the wire

    Examples:
      | id      | owner   | value   |
      | 512 × a | 256 × b | 250 × c |
      | 128 × 🔒 | 64 × 🦀  | 62 × 🌍  |
      | 512 × % | 256 × " | 250 × \\ |
