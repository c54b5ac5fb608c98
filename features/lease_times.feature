Feature: How long a lease is
  A lease runs for as long as the caller asks, within the server's limits. A
  caller that does not ask gets a default by the type of the resource.

  Scenario Outline: The default depends on the type
    Given a lock server with its default settings
    When Ann acquires <resource>
    Then the lock is granted
    And its ttl is <ttl>
    And it expires <ttl> after it was acquired

    Examples:
      | resource   | ttl   |
      | plan/42    | 300 s |
      | project/42 | 600 s |
      | build/42   | 300 s |
      | planet/42  | 300 s |

  Scenario Outline: The defaults are settings
    Given a lock server with "--default-ttl plan=1s --default-ttl build=90s"
    When Ann acquires <resource>
    Then its ttl is <ttl>

    Examples:
      | resource   | ttl   |
      | plan/42    | 1 s   |
      | build/42   | 90 s  |
      | project/42 | 600 s |
      | other/42   | 300 s |

  Scenario Outline: The limits are allowed
    Given a lock server with its default settings
    When Ann acquires plan/42 for <ttl>
    Then the lock is granted
    And its ttl is <ttl>

    Examples:
      | ttl     |
      | 5 s     |
      | 5001 ms |
      | 3600 s  |

  Scenario Outline: Beyond the limits is refused
    Given a lock server with its default settings
    When Ann acquires plan/42 for <ttl>
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields
      | ttl |
    And plan/42 is free

    Examples:
      | ttl        |
      | 4999 ms    |
      | 3601 s     |
      | 3600001 ms |
      | 0 s        |
      | -1 s       |

  Scenario: The limits are settings
    Given a lock server with "--min-ttl 100ms --max-ttl 2s"
    When Ann acquires plan/1 for 100 ms
    Then the lock is granted
    When Ann acquires plan/2 for 99 ms
    Then the request is refused with INVALID_REQUEST
    When Ann acquires plan/3 for 2001 ms
    Then the request is refused with INVALID_REQUEST
    When Ann acquires plan/4
    Then its ttl is 2 s

  Scenario Outline: The limits hold for renewals, too
    Given a lock server with its default settings
    And Ann holds plan/42
    When Ann renews plan/42 for <ttl>
    Then the request is refused with INVALID_REQUEST
    And plan/42 is held by Ann exactly as before

    Examples:
      | ttl     |
      | 4999 ms |
      | 3601 s  |
      | 0 s     |
