Feature: Keeping many leases alive over one stream
  A client that holds many locks renews them all with one message. The lease
  that is lost is told apart, and the others go on.

  Background:
    Given a lock server

  Scenario: Every lease is renewed, in the order asked
    Given Ann holds plan/1 for 60 s
    And Ann holds project/2 for 90 s
    And Bea holds plan/3 for 120 s
    When a keep-alive is sent for
      | Ann | project/2 |
      | Bea | plan/3    |
      | Ann | plan/1    |
    Then the results are
      | project/2 | renewed |
      | plan/3    | renewed |
      | plan/1    | renewed |
    And each result carries the token that was asked about
    And the renewed leases run for
      | project/2 | 90 s  |
      | plan/3    | 120 s |
      | plan/1    | 60 s  |

  Scenario: A new time to live for all
    Given Ann holds plan/1 for 60 s
    And Ann holds plan/2 for 90 s
    When a keep-alive of 200 s is sent for
      | Ann | plan/1 |
      | Ann | plan/2 |
    Then the renewed leases run for
      | plan/1 | 200 s |
      | plan/2 | 200 s |

  Scenario: One lost lease among many is reported, and the others go on
    Given Ann holds 100 plans
    And Ann's lease on plan/7 has run out
    When a keep-alive is sent for Ann's 100 plans
    Then all results but that of plan/7 are renewed
    And plan/7 is lost with LOCK_EXPIRED
    When a keep-alive is sent for Ann's 100 plans
    Then all results but that of plan/7 are renewed

  Scenario: Each kind of loss is told apart
    Given Ann holds plan/live
    And Ann's lease on plan/expired has run out
    And Ann's lease on plan/taken has run out
    And Bea holds plan/taken
    And Ann holds plan/released
    And Ann releases plan/released
    When a keep-alive is sent for
      | Ann | plan/live     |
      | Ann | plan/expired  |
      | Ann | plan/taken    |
      | Ann | plan/released |
      | Ann | plan/never    |
      | Bea | plan/live     |
    Then the results are
      | plan/live     | renewed                    |
      | plan/expired  | LOCK_EXPIRED               |
      | plan/taken    | LOCK_NOT_HELD, held by Bea |
      | plan/released | LOCK_NOT_HELD              |
      | plan/never    | LOCK_NOT_HELD              |
      | plan/live     | LOCK_NOT_HELD, held by Ann |
    And plan/expired is stale
    And plan/taken is held by Bea
    And plan/released is free

  Scenario: A lease that is named twice is answered twice
    Given Ann holds plan/1
    And Ann's lease on plan/2 has run out
    When a keep-alive is sent for
      | Ann | plan/1 |
      | Ann | plan/2 |
      | Ann | plan/1 |
      | Ann | plan/2 |
    Then the results are
      | plan/1 | renewed      |
      | plan/2 | LOCK_EXPIRED |
      | plan/1 | renewed      |
      | plan/2 | LOCK_EXPIRED |

  Scenario: Nothing asked, nothing answered
    When a keep-alive is sent for nothing
    Then there are no results
    When a keep-alive is sent for nothing
    Then there are no results

  Scenario: One response for each request, in order
    Given Ann holds plan/1
    And Ann holds plan/2
    When three keep-alives are sent at once, for plan/1, for nothing and for plan/2
    Then three responses come, for plan/1, for nothing and for plan/2
    And the stream ends well when the caller has no more requests

  Scenario: As many leases as are allowed in one request
    When a keep-alive of 10000 leases that nobody holds is sent
    Then there are 10000 results, all lost with LOCK_NOT_HELD

  Scenario Outline: Too many leases end the stream
    Given Ann holds plan/1
    When a keep-alive of <count> leases that nobody holds is sent
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields
      | leases |
    And plan/1 is held by Ann exactly as before

    Examples:
      | count  |
      | 10001  |
      | 100000 |
