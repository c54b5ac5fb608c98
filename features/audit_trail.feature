Feature: The audit trail tells of what is not ordinary
  Who took over a stale lock, who broke a hold, who wanted to, what was purged:
  each is written down with the change itself, and kept for a set time. Ordinary
  work leaves nothing there, and costs nothing for it.

  In the tables, an event is its kind, the resource, whose lock it was, who did
  it, and why.

  Scenario: Ordinary work leaves nothing
    Given a lock server
    And Ann holds plan/42
    And Ann acquires plan/42
    And Bea acquires plan/42
    And Ann renews plan/42
    And Bea renews plan/42
    And Ann releases plan/42
    And Ann releases plan/42
    And Bea holds plan/42
    And Bea releases everything
    And Ann's lease on plan/7 has run out
    And Ann renews plan/7
    And Ann releases plan/7
    And Ann's lease on plan/8 has run out
    And Ann releases everything
    And the stale locks are purged
    Then the audit trail is empty

  # === takeovers ===

  Scenario: A takeover says whose lock it was and who has it
    Given a lock server
    And Ann's lease on plan/42 has run out
    When Bea acquires plan/42
    Then the lock is granted
    And the audit trail is
      | TAKEN_OVER | plan/42 | Ann | Bea | (none) |
    And the newest event tells of Ann's token
    And the newest event happened when Bea's hold on plan/42 began

  Scenario: One's own stale lock is taken over, too
    Given a lock server
    And Ann's lease on plan/42 has run out
    When Ann acquires plan/42
    Then the lock is granted
    And the audit trail is
      | TAKEN_OVER | plan/42 | Ann | Ann | (none) |
    And the newest event tells of the first token of plan/42
    And the newest event happened when Ann's hold on plan/42 began

  Scenario: Over a command stream it is told the same
    Given a lock server
    And callers use a command stream
    And Ann's lease on plan/42 has run out
    When Bea acquires plan/42
    Then the lock is granted
    And the audit trail is
      | TAKEN_OVER | plan/42 | Ann | Bea | (none) |

  Scenario: What comes right after a takeover is ordinary again
    Given a lock server
    And callers use a command stream
    And Ann's lease on plan/42 has run out
    When these are sent without waiting for an answer
      | Bea  | acquires | plan/42 |
      | Ann  | acquires | plan/42 |
      | Bea  | acquires | plan/42 |
      | Bea  | releases | plan/42 |
      | Ann  | acquires | plan/42 |
      | Ann  | releases | plan/42 |
      | Cleo | acquires | plan/42 |
    Then they come to, in the order sent
      | granted                    |
      | LOCK_CONFLICT, held by Bea |
      | re-entered                 |
      | released                   |
      | granted                    |
      | released                   |
      | granted                    |
    And the audit trail is
      | TAKEN_OVER | plan/42 | Ann | Bea | (none) |
    And the newest event tells of the first token of plan/42

  Scenario: Of many who want a stale lock one has taken it over
    Given a lock server
    And Ann's lease on plan/42 has run out
    When 20 owners acquire plan/42 at the same moment
    Then exactly 1 of them is granted the lock
    And the audit trail holds 1 TAKEN_OVER
    And the newest event tells of Ann's token

  Scenario: What was purged is free, and not taken over
    Given a lock server
    And Ann's lease on plan/42 has run out
    And the stale locks are purged
    When Bea acquires plan/42
    Then the lock is granted
    And the audit trail holds 0 TAKEN_OVER

  # === forced releases ===

  Scenario: A forced release says whose hold was broken, by whom and why
    Given a lock server
    And Ann holds plan/42
    When an operator breaks Ann's hold on plan/42, with the reason "stuck since noon"
    Then Ann's hold is broken
    And the audit trail is
      | FORCE_RELEASED | plan/42 | Ann | 127.0.0.1 | stuck since noon |
    And the newest event tells of Ann's token

  Scenario: A stale lock that was broken is not taken over
    Given a lock server
    And Ann's lease on plan/42 has run out
    And Ann's hold on plan/42 was broken, with the reason "left behind"
    When Bea acquires plan/42
    Then the lock is granted
    And the audit trail is
      | FORCE_RELEASED | plan/42 | Ann | 127.0.0.1 | left behind |

  Scenario: A refusal says who held it then, and under which token it was asked for
    Given a lock server
    And Ann holds plan/42
    And Ann releases plan/42
    And Bea holds plan/42
    When an operator breaks Ann's hold on plan/42, with the reason "stuck"
    Then the request is refused with LOCK_NOT_HELD
    And the audit trail is
      | FORCE_RELEASE_REFUSED | plan/42 | Bea | 127.0.0.1 | stuck |
    And the newest event tells of Ann's token

  Scenario: A refusal of what is free says that nobody held it
    Given a lock server
    When ForceRelease is asked for with
      | fencing_token | 7      |
      | reason        | a typo |
    Then the request is refused with LOCK_NOT_FOUND
    And the audit trail is
      | FORCE_RELEASE_REFUSED | plan/42 | (none) | 127.0.0.1 | a typo |
    And the newest event tells of the token 7

  Scenario: Bad input is no refusal
    Given a lock server
    And Ann holds plan/42
    When ForceRelease is asked for with
      | reason | (empty) |
    Then the request is refused with INVALID_REQUEST
    And the audit trail is empty

  Scenario Outline: The trail outlasts the server
    Given a lock server
    And Ann holds plan/42
    And Ann's hold on plan/42 was broken, with the reason "stuck"
    When the server <ends>
    And the server starts again
    Then the audit trail is
      | FORCE_RELEASED | plan/42 | Ann | 127.0.0.1 | stuck |

    Examples:
      | ends      |
      | stops     |
      | is killed |

  # === purges ===

  Scenario: A purge is one event with the number of locks
    Given a lock server
    And Ann's lease on plan/1 has run out
    And Bea's lease on plan/2 has run out
    And Ann's lease on project/1 has run out
    And Ann holds plan/live
    When the stale locks are purged
    Then the answer is that 3 locks were purged
    And the audit trail is
      | PURGED | (none) | (none) | 127.0.0.1 | stale for 0 ms or longer, of any type |
    And the newest event tells of 3 locks

  Scenario: A purge says which locks it meant
    Given a lock server
    And Ann's lease on plan/1 has run out
    And Ann's lease on project/1 has run out
    When the stale locks are purged with
      | resource_type | project |
    Then the answer is that 1 lock was purged
    And the audit trail is
      | PURGED | (none) | (none) | 127.0.0.1 | stale for 0 ms or longer, of project |
    And the newest event tells of 1 lock

  Scenario: A purge of nothing is no event
    Given a lock server
    And Ann's lease on plan/1 has run out
    When the stale locks are purged with
      | older_than | 3600 s |
    Then the answer is that 0 locks were purged
    And the audit trail is empty

  Scenario: A server that starts purges what is stale, and says so
    Given a lock server
    And Ann's lease on plan/1 has run out
    And Ann's lease on plan/2 has run out
    When the server stops
    And the server starts again
    Then the audit trail is
      | PURGED | (none) | (none) | sweeper | stale for 0 ms or longer, of any type |
    And the newest event tells of 2 locks

  Scenario: The sweeper says what it purged
    Given a lock server with "--sweep-interval 100ms --stale-retention 1s"
    When Ann acquires plan/1 for 100 ms
    Then within a moment the audit trail is
      | PURGED | (none) | (none) | sweeper | stale for 1000 ms or longer, of any type |
    And the newest event tells of 1 lock
    And plan/1 is free

  # === lists ===

  Scenario: The newest comes first
    Given a lock server
    And holds on "plan/1, project/1, plan/2" were broken in turn
    When the events are listed
    Then the events are
      | FORCE_RELEASED | plan/2    | Ann | 127.0.0.1 | for plan/2    |
      | FORCE_RELEASED | project/1 | Ann | 127.0.0.1 | for project/1 |
      | FORCE_RELEASED | plan/1    | Ann | 127.0.0.1 | for plan/1    |
    And there is no next page

  Scenario: Nothing yet
    Given a lock server
    When the events are listed
    Then there are no events
    And there is no next page

  Scenario Outline: Of one resource
    Given a lock server
    And holds on "plan/1, plan/10, project/1, plan/1, plan/a, plan/A" were broken in turn
    When the events are listed with
      | resource | <resource> |
    Then the events are of "<found>"

    Examples:
      | resource  | found          |
      | plan/1    | plan/1, plan/1 |
      | project/1 | project/1      |
      | plan/A    | plan/A         |
      | plan/0    |                |

  Scenario: A purge is of no one resource
    Given a lock server
    And Ann's lease on plan/1 has run out
    And the stale locks are purged
    When the events are listed with
      | resource | plan/1 |
    Then there are no events

  Scenario Outline: Of a span of time, whose start counts and whose end does not
    Given a lock server
    And holds on "plan/1, plan/2, plan/3, plan/4" were broken in turn
    And the events are listed
    When the events <span> are listed
    Then the events are of "<found>"

    Examples:
      | span                                      | found                          |
      | from that of plan/1                       | plan/4, plan/3, plan/2, plan/1 |
      | from that of plan/3                       | plan/4, plan/3                 |
      | until that of plan/3                      | plan/2, plan/1                 |
      | until that of plan/1                      |                                |
      | from that of plan/2 until that of plan/4  | plan/3, plan/2                 |

  Scenario Outline: Of any span that can be written
    Given a lock server
    And holds on "plan/1" were broken in turn
    When the events are listed with
      | <field> | <moment> |
    Then the events are of "<found>"

    Examples:
      | field      | moment               | found  |
      | start_time | 0001-01-01T00:00:00Z | plan/1 |
      | start_time | 9999-12-31T23:59:59Z |        |
      | end_time   | 0001-01-01T00:00:00Z |        |
      | end_time   | 9999-12-31T23:59:59Z | plan/1 |

  Scenario: Page by page
    Given a lock server
    And holds on "plan/1, plan/2, plan/3, plan/4, plan/5" were broken in turn
    When all events are listed, page by page, with
      | page_size | 2 |
    Then the pages are
      | plan/5, plan/4 |
      | plan/3, plan/2 |
      | plan/1         |

  Scenario: Page by page, filtered
    Given a lock server
    And holds on "plan/1, plan/2, plan/1, plan/2, plan/1" were broken in turn
    When all events are listed, page by page, with
      | page_size | 2      |
      | resource  | plan/1 |
    Then the pages are
      | plan/1, plan/1 |
      | plan/1         |

  Scenario: A last page that is full has no next one
    Given a lock server
    And holds on "plan/1, plan/2" were broken in turn
    When the events are listed with
      | page_size | 2 |
    Then the events are of "plan/2, plan/1"
    And there is no next page

  Scenario: What happens between two pages moves nothing
    Given a lock server
    And holds on "plan/1, plan/2, plan/3" were broken in turn
    And the events are listed with
      | page_size | 2 |
    When Bea acquires plan/4
    And an operator breaks Bea's hold on plan/4, with the reason "later"
    And the next page of events is asked for with
      | page_size | 2 |
    Then the events are of "plan/1"
    And there is no next page

  Scenario Outline: A page token is good with the same filters only
    Given a lock server
    And holds on "plan/1, plan/1" were broken in turn
    And the events are listed with
      | page_size | 1 |
    When the next page of events is asked for with
      | <field> | <value> |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields
      | page_token |

    Examples:
      | field      | value                |
      | resource   | plan/1               |
      | start_time | 0001-01-01T00:00:00Z |
      | end_time   | 9999-12-31T23:59:59Z |

  Scenario: Nor without the filters that it was made for
    Given a lock server
    And holds on "plan/1, plan/1" were broken in turn
    And the events are listed with
      | page_size | 1      |
      | resource  | plan/1 |
    When the next page of events is asked for
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields
      | page_token |

  Scenario: The size of the next page may differ
    Given a lock server
    And holds on "plan/1, plan/2, plan/3" were broken in turn
    And the events are listed with
      | page_size | 1 |
    When the next page of events is asked for with
      | page_size | 5 |
    Then the events are of "plan/2, plan/1"

  Scenario: A token of another list is none of this one
    Given a lock server
    And Ann holds plan/1
    And Ann holds plan/2
    And the locks are listed with
      | page_size | 1 |
    When the next page of events is asked for
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields
      | page_token |
