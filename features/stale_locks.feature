Feature: Stale locks are seen, counted and tidied away
  A stale lock is in nobody's way, but it tells of a holder that was lost. So
  it is kept for a while to be looked at, and freed by a purge: of an operator,
  of a server that starts, or of the sweeper. A live lock is never touched.

  Scenario: The oldest expiry comes first, and the count is of all
    Given a lock server
    And Ann's lease on plan/z has run out
    And Bea's lease on plan/m has run out
    And Ann's lease on project/a has run out
    And Ann holds plan/live
    When the stale locks are listed
    Then the list is "plan/z, plan/m, project/a"
    And the count of stale locks is 3
    And every lock of the list is stale with nothing remaining

  Scenario: None at all
    Given a lock server
    And Ann holds plan/live
    When the stale locks are listed
    Then the list is empty
    And the count of stale locks is 0

  Scenario: By type
    Given a lock server
    And Ann's lease on plan/z has run out
    And Ann's lease on project/a has run out
    When the stale locks are listed with
      | resource_type | project |
    Then the list is "project/a"
    And the count of stale locks is 1

  Scenario: By age
    Given a lock server
    And Ann's lease on plan/1 has run out
    When the stale locks are listed with
      | older_than | 3600 s |
    Then the list is empty
    And the count of stale locks is 0
    When the stale locks are listed with
      | older_than | 0 s |
    Then the list is "plan/1"
    And within a moment the stale locks older than 200 ms are "plan/1"

  Scenario: Page by page, with the count of all on each
    Given a lock server
    And Ann's lease on plan/z has run out
    And Ann's lease on plan/m has run out
    And Ann's lease on plan/a has run out
    When the stale locks are listed with
      | page_size | 2 |
    Then the list is "plan/z, plan/m"
    And the count of stale locks is 3
    When the next page of stale locks is asked for
    Then the list is "plan/a"
    And the count of stale locks is 3
    And there is no next page

  Scenario Outline: A page token is good with the same filters only
    Given a lock server
    And Ann's lease on plan/1 has run out
    And Ann's lease on plan/2 has run out
    And the stale locks are listed with
      | page_size | 1 |
    When the next page of stale locks is asked for with
      | <field> | <value> |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields
      | page_token |

    Examples:
      | field         | value |
      | resource_type | plan  |
      | older_than    | 1 s   |

  Scenario: A purge frees what is stale and leaves live locks alone
    Given a lock server
    And Ann's lease on plan/1 has run out
    And Bea's lease on project/1 has run out
    And Ann holds plan/2
    When the stale locks are purged
    Then the answer is that 2 locks were purged
    And plan/1 is free
    And project/1 is free
    And plan/2 is held by Ann exactly as before

  Scenario: A purge of nothing
    Given a lock server
    And Ann holds plan/2
    When the stale locks are purged
    Then the answer is that 0 locks were purged
    And plan/2 is held by Ann exactly as before

  Scenario: A purge by type
    Given a lock server
    And Ann's lease on plan/1 has run out
    And Ann's lease on project/1 has run out
    When the stale locks are purged with
      | resource_type | plan |
    Then the answer is that 1 lock was purged
    And plan/1 is free
    And project/1 is stale

  Scenario: A purge by age
    Given a lock server
    And Ann's lease on plan/1 has run out
    When the stale locks are purged with
      | older_than | 3600 s |
    Then the answer is that 0 locks were purged
    And plan/1 is stale

  Scenario Outline: No span is too long to ask for
    Given a lock server
    And Ann's lease on plan/1 has run out
    When <request> is asked for with
      | older_than | <age> |
    Then <outcome>
    And plan/1 is stale

    Examples:
      | request    | age                            | outcome                                     |
      | ListStale  | 300000000000 s                 | the list is empty                           |
      | PurgeStale | 300000000000 s                 | the answer is that 0 locks were purged      |
      | ListStale  | 315576000000 s                 | the list is empty                           |
      | PurgeStale | 315576000000 s                 | the answer is that 0 locks were purged      |
      | ListStale  | 9223372036854775807 s and 0 nanos | the request is refused with INVALID_REQUEST |
      | PurgeStale | 9223372036854775807 s and 0 nanos | the request is refused with INVALID_REQUEST |

  Scenario: What was taken over is no longer stale
    Given a lock server
    And Ann's lease on plan/1 has run out
    And Bea holds plan/1
    When the stale locks are purged
    Then the answer is that 0 locks were purged
    And plan/1 is held by Bea exactly as before

  Scenario: A server that starts purges what is stale
    Given a lock server
    And Ann's lease on plan/1 has run out
    And Ann holds plan/2
    When the server stops
    And the server starts again
    Then plan/1 is free
    And plan/2 is held by Ann exactly as before

  Scenario: The sweeper purges after the retention
    Given a lock server with "--sweep-interval 100ms --stale-retention 3s"
    And Ann holds plan/2
    And Ann's lease on plan/1 has run out
    When someone looks at plan/1
    Then it is stale with nothing remaining
    And within a moment plan/1 is free
    And plan/2 is held by Ann exactly as before

  Scenario: A sweeper that purges all the time takes nothing from those who wait
    Given a lock server with "--sweep-interval 10ms --stale-retention 0s"
    And Ann holds plan/42 for 500 ms
    And Bea waits for plan/42 to hold it for 500 ms
    And Cleo waits for plan/42 to hold it for 60 s
    Then Bea is granted plan/42
    And Cleo is granted plan/42
    And every grant of plan/42 had a higher token than the one before
    And plan/42 is held by Cleo exactly as before
