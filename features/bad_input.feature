Feature: Bad input is refused, field by field
  A wrong request changes nothing, and the refusal names every field that is
  wrong by its path, all at once. Whatever is an id is just an id.

  In the tables, (empty) is an empty text, 513 × a is 513 times an "a", and
  [U+0009] is the character with that code.

  Background:
    Given a lock server

  Scenario Outline: A wrong resource or owner, whoever is asked
    When <request> is asked for with
      | resource.type | Plan    |
      | resource.id   | (empty) |
      | owner_id      | (empty) |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "<fields>"
    And the server goes on

    Examples:
      | request    | fields                                                               |
      | Acquire    | resource.type, resource.id, owner_id                                 |
      | Renew      | resource.type, resource.id, owner_id                                 |
      | Release    | resource.type, resource.id, owner_id                                 |
      | GetLock    | resource.type, resource.id                                           |
      | ForceRelease | resource.type, resource.id                                         |
      | ListEvents | resource.type, resource.id                                           |
      | ReleaseAll | owner_id                                                             |
      | ListLocks  | owner_id                                                             |
      | KeepAlive  | leases[3].resource.type, leases[3].resource.id, leases[3].owner_id   |

  Scenario Outline: A missing resource
    When <request> is asked for with
      | resource | (missing) |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "<field>"
    And the server goes on

    Examples:
      | request   | field              |
      | Acquire   | resource           |
      | Renew     | resource           |
      | Release   | resource           |
      | GetLock   | resource           |
      | ForceRelease | resource        |
      | KeepAlive | leases[3].resource |

  Scenario Outline: A type is a plain word
    When Acquire is asked for with
      | resource.type | <type> |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "resource.type"

    Examples:
      | type      |
      | (empty)   |
      | Plan      |
      | 9plan     |
      | -plan     |
      | _plan     |
      | pl an     |
      | plan/42   |
      | plän      |
      | pla[U+0000]n |
      | plan[U+000A] |
      | 64 × a    |
      | 🔒        |

  Scenario Outline: An id is 1 to 512 bytes without control characters
    When Acquire is asked for with
      | resource.id | <id> |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "resource.id"

    Examples:
      | id          |
      | (empty)     |
      | 513 × a     |
      | 129 × 🔒    |
      | a[U+0000]b  |
      | a[U+0009]b  |
      | a[U+000A]   |
      | [U+007F]    |
      | a[U+0085]b  |

  Scenario Outline: An owner is 1 to 256 bytes without control characters
    When Acquire is asked for with
      | owner_id | <owner> |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "owner_id"

    Examples:
      | owner       |
      | (empty)     |
      | 257 × a     |
      | 65 × 🔒     |
      | a[U+0000]b  |
      | a[U+000D]   |
      | a[U+009F]b  |

  Scenario Outline: A reason is 1 to 512 bytes without control characters
    Given Ann holds plan/42
    When ForceRelease is asked for with
      | reason | <reason> |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "reason"
    And plan/42 is held by Ann exactly as before

    Examples:
      | reason      |
      | (empty)     |
      | 513 × a     |
      | 129 × 🔒    |
      | a[U+0000]b  |
      | a[U+000A]b  |
      | a[U+001B][31m |
      | a[U+0085]b  |

  Scenario Outline: A moment is one of the years 1 to 9999
    When ListEvents is asked for with
      | <field> | <moment> |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "<field>"
    And the server goes on

    Examples:
      | field      | moment                             |
      | start_time | 0 s and -1 nanos                   |
      | start_time | 0 s and 1000000000 nanos           |
      | start_time | 253402300800 s and 0 nanos         |
      | start_time | 9223372036854775807 s and 0 nanos  |
      | end_time   | 0 s and -1 nanos                   |
      | end_time   | -62135596801 s and 999999999 nanos |
      | end_time   | -9223372036854775808 s and 0 nanos |

  Scenario Outline: A span of time ends after its start
    When ListEvents is asked for with
      | start_time | 2026-11-21T12:00:00Z |
      | end_time   | <end>                |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "end_time"
    And the server goes on

    Examples:
      | end                         |
      | 2026-11-21T12:00:00Z        |
      | 2026-11-21T11:59:59.999999Z |
      | 1970-01-01T00:00:00Z        |

  Scenario Outline: A time to live that is none, whoever is asked
    When <request> is asked for with
      | ttl | <ttl> |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "ttl"
    And the server goes on

    Examples:
      | request   | ttl                         |
      | Acquire   | 0 s                         |
      | Acquire   | 99 ms                       |
      | Acquire   | 3600001 ms                  |
      | Acquire   | -300 s                      |
      | Acquire   | 10 s and 1000000000 nanos   |
      | Acquire   | 10 s and -1 nanos           |
      | Acquire   | 0 s and -1 nanos            |
      | Acquire   | 10 s and 2147483647 nanos   |
      | Acquire   | 9223372036854775807 s and 0 nanos |
      | Acquire   | -9223372036854775808 s and 0 nanos |
      | Renew     | 0 s                         |
      | Renew     | 99 ms                       |
      | Renew     | 3601 s                      |
      | Renew     | -1 s                        |
      | Renew     | 10 s and 1000000000 nanos   |
      | KeepAlive | 0 s                         |
      | KeepAlive | 99 ms                       |
      | KeepAlive | 3601 s                      |
      | KeepAlive | -1 s                        |
      | KeepAlive | 10 s and -1 nanos           |

  Scenario Outline: A wait that is none
    Given Ann holds plan/42
    When Acquire is asked for with
      | owner_id | Bea    |
      | wait     | <wait> |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "wait"
    And nobody waits for plan/42
    And plan/42 is held by Ann exactly as before
    And the server goes on

    Examples:
      | wait                               |
      | -1 s                               |
      | -1 ms                              |
      | 3600001 ms                         |
      | 3600 s and 1000 nanos              |
      | 86400 s                            |
      | 1 s and -1 nanos                   |
      | 0 s and -1 nanos                   |
      | 1 s and 1000000000 nanos           |
      | 1 s and 2147483647 nanos           |
      | 9223372036854775807 s and 0 nanos  |
      | 315576000001 s and 0 nanos         |
      | -9223372036854775808 s and 0 nanos |

  Scenario: A wait that is none, of what is free
    When Acquire is asked for with
      | wait | -1 s |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "wait"
    And plan/42 is free

  Scenario Outline: A wait that is one
    When Acquire is asked for with
      | wait | <wait> |
    Then the lock is granted

    Examples:
      | wait              |
      | 0 s               |
      | 0 s and 1 nanos   |
      | 3600 s            |

  Scenario: A wait is named beside all else that is wrong
    When Acquire is asked for with
      | resource.id | (empty) |
      | owner_id    | (empty) |
      | ttl         | 0 s     |
      | wait        | -1 s    |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "resource.id, owner_id, ttl, wait"

  Scenario Outline: A token of 0
    When <request> is asked for with
      | fencing_token | 0 |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "<field>"
    And the server goes on

    Examples:
      | request   | field                   |
      | Renew     | fencing_token           |
      | Release   | fencing_token           |
      | ForceRelease | fencing_token        |
      | KeepAlive | leases[3].fencing_token |

  Scenario Outline: The largest token there is, is just a wrong one
    Given Ann holds plan/42
    When <request> is asked for with
      | fencing_token | 18446744073709551615 |
    Then the request is refused with LOCK_NOT_HELD
    And plan/42 is held by Ann exactly as before

    Examples:
      | request |
      | Renew   |
      | Release |

  Scenario Outline: Metadata has its limits
    When Acquire is asked for with the metadata
      | <key> | <value> |
    Then the request is refused with INVALID_REQUEST
    And every field that the refusal names starts with "metadata"
    And plan/42 is free

    Examples:
      | key      | value      |
      | Host     | a          |
      | (empty)  | a          |
      | 9lives   | a          |
      | a b      | a          |
      | kéy      | a          |
      | 64 × a   | a          |
      | key      | 257 × a    |
      | key      | 65 × 🔒    |
      | key      | a[U+0000]b |
      | key      | a[U+000A]b |
      | key      | a[U+0085]b |

  Scenario Outline: There is only so much metadata
    When Ann acquires plan/42 with <count> metadata values of <value>
    Then <outcome>

    Examples: at the limit, with keys of two bytes
      | count | value   | outcome              |
      | 16    | 62 × a  | the lock is granted  |
      | 4     | 254 × a | the lock is granted  |
      | 1     | 256 × a | the lock is granted  |
      | 2     | (empty) | the lock is granted  |

    Examples: over it
      | count | value   | outcome                                       |
      | 17    | a       | the request is refused with INVALID_REQUEST   |
      | 16    | 63 × a  | the request is refused with INVALID_REQUEST   |
      | 4     | 255 × a | the request is refused with INVALID_REQUEST   |

  Scenario Outline: Filters are validated like the fields that they filter
    When <request> is asked for with
      | <field> | <value> |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "<field>"
    And the server goes on

    Examples:
      | request    | field         | value                     |
      | ListLocks  | resource_type | (empty)                   |
      | ListLocks  | resource_type | Plan                      |
      | ListLocks  | id_prefix     | a[U+0000]                 |
      | ListLocks  | id_prefix     | 513 × a                   |
      | ListLocks  | owner_id      | (empty)                   |
      | ListLocks  | owner_id      | 257 × a                   |
      | ListLocks  | page_size     | -1                        |
      | ListLocks  | page_size     | -2147483648               |
      | ListLocks  | page_token    | forged                    |
      | ListLocks  | page_token    | (*&^%$                    |
      | ListLocks  | page_token    | 1000 × A                  |
      | ListStale  | resource_type | (empty)                   |
      | ListStale  | resource_type | pl an                     |
      | ListStale  | older_than    | -1 s                      |
      | ListStale  | older_than    | 1 s and 1000000000 nanos  |
      | ListStale  | page_size     | -1                        |
      | ListStale  | page_token    | forged                    |
      | ListEvents | resource.type | (empty)                   |
      | ListEvents | resource.type | Plan                      |
      | ListEvents | resource.id   | (empty)                   |
      | ListEvents | resource.id   | a[U+0000]                 |
      | ListEvents | resource.id   | 513 × a                   |
      | ListEvents | page_size     | -1                        |
      | ListEvents | page_size     | -2147483648               |
      | ListEvents | page_token    | forged                    |
      | ListEvents | page_token    | 1000 × A                  |
      | PurgeStale | resource_type | (empty)                   |
      | PurgeStale | resource_type | Plan                      |
      | PurgeStale | older_than    | -1 s                      |
      | PurgeStale | older_than    | 1 s and -1 nanos          |

  Scenario: Everything that is wrong with an Acquire is named at once
    When Acquire is asked for with
      | metadata.Host | a       |
      | resource.type | Plan    |
      | resource.id   | (empty) |
      | owner_id      | (empty) |
      | ttl           | 0 s     |
    Then the request is refused with INVALID_REQUEST
    And the refusal names the fields "resource.type, resource.id, owner_id, ttl" and one of the metadata
    And plan/42 is free

  Scenario Outline: Everything that is wrong is named at once
    When <request> is asked for with
      | resource.type | Plan    |
      | resource.id   | 513 × a |
      | owner_id      | 257 × a |
      | fencing_token | 0       |
      | ttl           | -1 s    |
      | resource_type | Plan    |
      | id_prefix     | 513 × a |
      | older_than    | -1 s    |
      | reason        | (empty) |
      | start_time    | 0 s and -1 nanos |
      | end_time      | 0 s and -1 nanos |
      | page_size     | -1      |
      | page_token    | forged  |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "<fields>"
    And the server goes on

    Examples:
      | request    | fields                                                          |
      | Acquire    | resource.type, resource.id, owner_id, ttl                       |
      | Renew      | resource.type, resource.id, owner_id, fencing_token, ttl        |
      | Release    | resource.type, resource.id, owner_id, fencing_token             |
      | ListLocks  | resource_type, id_prefix, owner_id, page_size, page_token       |
      | ListStale  | resource_type, older_than, page_size, page_token                |
      | PurgeStale | resource_type, older_than                                       |
      | ForceRelease | resource.type, resource.id, fencing_token, reason             |
      | ListEvents | resource.type, resource.id, start_time, end_time, page_size, page_token |
      | KeepAlive  | ttl, leases[3].resource.type, leases[3].resource.id, leases[3].owner_id, leases[3].fencing_token |

  Scenario: Of very many wrong fields the first 40 are named
    When a keep-alive of 10000 leases without a resource is sent
    Then the request is refused with INVALID_REQUEST
    And the refusal names the first 40 leases
    And the refusal takes less than 8 KiB on the wire
    And the server goes on

  Scenario Outline: Whatever else is in an id, it is just an id
    When Ann acquires the plan <id>
    Then the lock is granted
    When Bea acquires the plan <id>
    Then the request is refused with LOCK_CONFLICT
    And the plan <id> is the only one in the list
    When Ann releases the plan <id>
    Then the answer is that a lease ended

    Examples:
      | id                                        |
      | it's                                      |
      | "quoted"                                  |
      | '; DROP TABLE locks; --                   |
      | ' OR '1'='1                               |
      | $1                                        |
      | ?                                         |
      | %s %d {} {0}                              |
      | a/b/../c                                  |
      | back\\slash                               |
      | 🔒🦀👩‍💻                                    |
      | שלום [U+202E]right to left                |
      | [U+FEFF]                                  |
      | 512 × a                                   |
      | 128 × 🔒                                  |
      | *                                         |
      | NULL                                      |

  Scenario Outline: Whatever else is in an owner, it is just an owner
    When the owner <owner> acquires plan/42
    Then the lock is granted
    When Bea acquires plan/42
    Then the request is refused with LOCK_CONFLICT
    And the refusal names the owner <owner> as the holder

    Examples:
      | owner                   |
      | '; DROP TABLE locks; -- |
      | "Ann"                   |
      | 👩‍💻                      |
      | 256 × a                 |
      | 64 × 🔒                 |

  Scenario: A message over the size limit is refused by the transport
    When ListLocks is asked for with
      | id_prefix | 16777217 × a |
    Then the transport refuses it without details
    And the server goes on
