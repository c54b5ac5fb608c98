Feature: Looking at locks
  Anyone may look at the lock of one resource, or page through all live ones.
  Looking changes nothing.

  Background:
    Given a lock server

  Scenario: A live lock
    Given Ann holds plan/42 for 60 s
    When someone looks at plan/42
    Then its owner is Ann
    And it is live with time remaining
    And plan/42 is held by Ann exactly as before

  Scenario: A stale lock
    Given Ann's lease on plan/42 has run out
    When someone looks at plan/42
    Then its owner is Ann
    And it is stale with nothing remaining

  Scenario: A resource that is free
    When someone looks at plan/42
    Then the request is refused with LOCK_NOT_FOUND

  Scenario: A resource that was released
    Given Ann holds plan/42
    And Ann releases plan/42
    When someone looks at plan/42
    Then the request is refused with LOCK_NOT_FOUND

  Scenario: No locks, no entries
    When the locks are listed
    Then the list is empty
    And there is no next page

  Scenario: Live locks are listed by type and id, and stale ones are not
    Given Ann holds project/1
    And Ann holds plan/b
    And Bea holds plan/10
    And Bea holds plan/9
    And Bea holds plan/B
    And Bea's lease on plan/7 has run out
    When the locks are listed
    Then the list is
      | plan/10   |
      | plan/9    |
      | plan/B    |
      | plan/b    |
      | project/1 |
    And there is no next page

  Scenario: The entries are whole
    Given Ann holds plan/42 for 60 s with the metadata
      | host | build-7 |
    When the locks are listed
    Then the list holds Ann's lock on plan/42 as it was granted

  Scenario Outline: Filters must all match
    Given Ann holds plan/a-1
    And Ann holds plan/b-1
    And Bea holds plan/a-2
    And Bea holds project/a-1
    When the locks are listed with
      | <field> | <value> |
      | <more>  | <other> |
    Then the list is "<found>"

    Examples:
      | field         | value   | more      | other | found                                  |
      | resource_type | plan    | page_size | 0     | plan/a-1, plan/a-2, plan/b-1           |
      | resource_type | none    | page_size | 0     |                                        |
      | id_prefix     | a-      | page_size | 0     | plan/a-1, plan/a-2, project/a-1        |
      | id_prefix     | (empty) | page_size | 0     | plan/a-1, plan/a-2, plan/b-1, project/a-1 |
      | owner_id      | Bea     | page_size | 0     | plan/a-2, project/a-1                  |
      | owner_id      | Cleo    | page_size | 0     |                                        |
      | owner_id      | Bea     | id_prefix | a-    | plan/a-2, project/a-1                  |
      | resource_type | plan    | id_prefix | a-    | plan/a-1, plan/a-2                     |
      | resource_type | plan    | owner_id  | Bea   | plan/a-2                               |

  Scenario Outline: A prefix means exactly what it says
    Given Ann holds plan/100%
    And Ann holds plan/100x
    And Ann holds plan/a_b
    And Ann holds plan/axb
    And Ann holds plan/A_b
    And Ann holds plan/c\d
    And Ann holds plan/[e]
    When the locks are listed with
      | id_prefix | <prefix> |
    Then the list is "<found>"

    Examples:
      | prefix | found                |
      | 100%   | plan/100%            |
      | 100    | plan/100%, plan/100x |
      | a_     | plan/a_b             |
      | A      | plan/A_b             |
      | %      |                      |
      | _      |                      |
      | [e     | plan/[e]             |
      | *      |                      |

  Scenario: Page by page
    Given Ann holds plan/1
    And Ann holds plan/2
    And Ann holds plan/3
    And Ann holds plan/4
    And Ann holds project/1
    When all locks are listed, page by page, with
      | page_size | 2 |
    Then the pages are
      | plan/1, plan/2 |
      | plan/3, plan/4 |
      | project/1      |

  Scenario: A last page that is full has no next one
    Given Ann holds plan/1
    And Ann holds plan/2
    When the locks are listed with
      | page_size | 2 |
    Then the list is "plan/1, plan/2"
    And there is no next page

  Scenario: Page by page, filtered
    Given Ann holds plan/1
    And Bea holds plan/2
    And Ann holds plan/3
    And Ann holds plan/4
    When all locks are listed, page by page, with
      | page_size | 2   |
      | owner_id  | Ann |
    Then the pages are
      | plan/1, plan/3 |
      | plan/4         |

  Scenario: What comes and goes between two pages moves nothing else
    Given Ann holds plan/1
    And Ann holds plan/2
    And Ann holds plan/3
    And the locks are listed with
      | page_size | 2 |
    When Ann releases plan/1
    And Bea acquires plan/0
    And the next page is asked for with
      | page_size | 2 |
    Then the list is "plan/3"

  Scenario: Pages have 100 entries unless told, and 1000 at most
    Given Ann holds 1001 plans
    When the locks are listed
    Then the list has 100 entries
    And there is a next page
    When the locks are listed with
      | page_size | 2147483647 |
    Then the list has 1000 entries
    And there is a next page

  Scenario Outline: A page token is good with the same filters only
    Given Ann holds plan/1
    And Ann holds plan/2
    And the locks are listed with
      | page_size     | 1    |
      | resource_type | plan |
    When the next page is asked for with
      | page_size | 1       |
      | <field>   | <value> |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields
      | page_token |

    Examples:
      | field         | value   |
      | page_size     | 1       |
      | resource_type | project |
      | id_prefix     | 1       |
      | owner_id      | Ann     |

  Scenario: The size of the next page may differ
    Given Ann holds plan/1
    And Ann holds plan/2
    And Ann holds plan/3
    And the locks are listed with
      | page_size | 1 |
    When the next page is asked for with
      | page_size | 5 |
    Then the list is "plan/2, plan/3"

  Scenario: A token of one list is no token of the other
    Given Ann holds plan/1
    And Ann holds plan/2
    And the locks are listed with
      | page_size | 1 |
    When the next page of stale locks is asked for
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields
      | page_token |
