Feature: Watching what happens to locks
  Whoever wants to know what becomes of locks watches them, instead of asking
  again and again: first the live locks as they are, then what happens to them
  and to others, in order for each resource.

  # === how it begins ===

  Scenario: First what is live, and then what happens
    Given a lock server
    And Ann holds plan/1
    And Bea holds project/2
    And Cleo's lease on plan/stale has run out
    And Dora holds plan/free
    And Dora releases plan/free
    When someone watches all locks
    Then the snapshot is
      | plan/1    | Ann |
      | project/2 | Bea |
    When Ann releases plan/1
    And Dora acquires plan/3
    Then the watch tells
      | RELEASED | plan/1 | Ann  |
      | ACQUIRED | plan/3 | Dora |

  Scenario: Nothing is held
    Given a lock server
    When someone watches all locks
    Then the snapshot is empty
    When Ann acquires plan/1
    Then the watch tells
      | ACQUIRED | plan/1 | Ann |

  Scenario: The snapshot has all that is to be known of a lock
    Given a lock server
    And Ann holds plan/42 for 60 s with the metadata
      | host | build-7 |
    And Bea waits for plan/42
    When someone watches plan/42
    Then the snapshot is Ann's lock exactly as before
    And it tells that 1 waits

  # === what happens ===

  Scenario: A lock is acquired and released
    Given a lock server
    And someone watches all locks
    When Ann acquires plan/42 for 60 s with the metadata
      | host | build-7 |
    Then the watch tells
      | ACQUIRED | plan/42 | Ann |
    And the event's lock is Ann's exactly as before
    When Ann releases plan/42
    Then the watch tells
      | RELEASED | plan/42 | Ann |
    And the event's lock is Ann's exactly as before

  Scenario: Tokens tell one hold from the next
    Given a lock server
    And someone watches all locks
    And Ann holds plan/42
    And Ann releases plan/42
    And Ann holds plan/42
    And Ann releases plan/42
    Then the watch tells
      | ACQUIRED | plan/42 | Ann |
      | RELEASED | plan/42 | Ann |
      | ACQUIRED | plan/42 | Ann |
      | RELEASED | plan/42 | Ann |
    And the events tell of each grant of plan/42 twice, in order

  Scenario: Renewals are told to whoever asks for them
    Given a lock server
    And someone watches all locks with their renewals
    And Ann holds plan/42 for 60 s
    When Ann renews plan/42 for 120 s
    Then the watch tells
      | ACQUIRED | plan/42 | Ann |
      | RENEWED  | plan/42 | Ann |
    And the event's lock is Ann's exactly as before
    When Ann acquires plan/42 for 300 s
    Then the watch tells
      | RENEWED | plan/42 | Ann |
    And the event's lock is Ann's exactly as before
    When a keep-alive is sent for
      | Ann | plan/42 |
    Then the watch tells
      | RENEWED | plan/42 | Ann |

  Scenario: And to nobody else
    Given a lock server
    And someone watches all locks
    And Ann holds plan/42 for 60 s
    When Ann renews plan/42 for 120 s
    And Ann acquires plan/42 for 300 s
    And a keep-alive is sent for
      | Ann | plan/42 |
    And Ann releases plan/42
    Then the watch tells
      | ACQUIRED | plan/42 | Ann |
      | RELEASED | plan/42 | Ann |

  Scenario: A lease runs out, and the lock is taken over
    Given a lock server
    And someone watches all locks
    When Ann acquires plan/42 for 300 ms
    Then the watch tells
      | ACQUIRED | plan/42 | Ann |
      | EXPIRED  | plan/42 | Ann |
    And the event's lock is stale
    When Bea acquires plan/42
    Then the watch tells
      | TAKEN_OVER | plan/42 | Bea |
    And the event's lock is Bea's exactly as before

  Scenario: One's own stale lock is taken over, too
    Given a lock server
    And someone watches all locks
    And Ann's lease on plan/42 has run out
    When Ann acquires plan/42
    Then the watch tells
      | ACQUIRED   | plan/42 | Ann |
      | EXPIRED    | plan/42 | Ann |
      | TAKEN_OVER | plan/42 | Ann |

  Scenario: A lease is cut short
    Given a lock server
    And Ann holds plan/42 for 300 s
    And someone watches all locks
    When Ann renews plan/42 for 100 ms
    Then the watch tells
      | EXPIRED | plan/42 | Ann |

  Scenario: An operator breaks a hold
    Given a lock server
    And Ann holds plan/42
    And someone watches all locks
    When an operator breaks Ann's hold on plan/42, with the reason "stuck"
    Then the watch tells
      | FORCE_RELEASED | plan/42 | Ann |
    And the event's lock is Ann's exactly as before

  Scenario: Stale locks are purged
    Given a lock server
    And Ann's lease on plan/1 has run out
    And Bea's lease on project/2 has run out
    And someone watches all locks
    When the stale locks are purged
    Then the watch tells
      | PURGED | plan/1    | Ann |
      | PURGED | project/2 | Bea |

  Scenario: The sweeper purges, too
    Given a lock server with "--sweep-interval 100ms --stale-retention 500ms"
    And someone watches all locks
    When Ann acquires plan/1 for 100 ms
    Then the watch tells
      | ACQUIRED | plan/1 | Ann |
      | EXPIRED  | plan/1 | Ann |
      | PURGED   | plan/1 | Ann |

  Scenario: An owner releases everything
    Given a lock server
    And Ann holds plan/1
    And Ann holds plan/2
    And Bea holds plan/3
    And someone watches all locks
    When Ann releases everything
    Then the watch tells
      | RELEASED | plan/1 | Ann |
      | RELEASED | plan/2 | Ann |
    When Bea releases plan/3
    Then the watch tells
      | RELEASED | plan/3 | Bea |

  Scenario: What changes nothing is not told
    Given a lock server
    And Ann holds plan/42
    And someone watches all locks with their renewals
    When Bea acquires plan/42
    And Bea releases plan/42 without a token
    And Bea renews plan/42 with the token of Ann
    And an operator breaks Bea's hold on plan/42, with the reason "a mistake"
    And Bea releases everything
    And the stale locks are purged
    And Ann releases plan/42
    And Ann releases plan/42
    And Bea acquires plan/1
    Then the watch tells
      | RELEASED | plan/42 | Ann |
      | ACQUIRED | plan/1  | Bea |

  # === who waits ===

  Scenario: A lock is handed over
    Given a lock server
    And Ann holds plan/42
    And someone watches plan/42
    And Bea waits for plan/42 to hold it for 60 s
    And Cleo waits for plan/42
    When Ann releases plan/42
    Then Bea is granted plan/42
    And the watch tells
      | RELEASED | plan/42 | Ann |
      | ACQUIRED | plan/42 | Bea |
    And the event's lock is Bea's exactly as before
    And it tells that 1 waits
    When an operator breaks Bea's hold on plan/42, with the reason "stuck"
    Then Cleo is granted plan/42
    And the watch tells
      | FORCE_RELEASED | plan/42 | Bea  |
      | ACQUIRED       | plan/42 | Cleo |
    And the event's lock is Cleo's exactly as before

  Scenario: A lease that runs out is handed over
    Given a lock server
    And someone watches plan/42
    And Ann holds plan/42 for 500 ms
    And Bea waits for plan/42
    Then Bea is granted plan/42
    And the watch tells
      | ACQUIRED   | plan/42 | Ann |
      | EXPIRED    | plan/42 | Ann |
      | TAKEN_OVER | plan/42 | Bea |
    And the event's lock is Bea's exactly as before

  Scenario: What is released altogether is handed over
    Given a lock server
    And Ann holds plan/42
    And someone watches plan/42
    And Bea waits for plan/42
    When Ann releases everything
    Then Bea is granted plan/42
    And the watch tells
      | RELEASED | plan/42 | Ann |
      | ACQUIRED | plan/42 | Bea |

  Scenario: Who waits in vain is not told of
    Given a lock server
    And Ann holds plan/42
    And someone watches plan/42
    When Bea waits 300 ms for plan/42
    Then Bea's wait for plan/42 is refused with LOCK_CONFLICT
    When Ann releases plan/42
    Then the watch tells
      | RELEASED | plan/42 | Ann |

  # === which locks ===

  Scenario: One resource
    Given a lock server
    And Ann holds plan/42
    And Ann holds plan/421
    And Ann holds project/42
    When someone watches plan/42
    Then the snapshot is
      | plan/42 | Ann |
    When Ann releases plan/421
    And Ann releases project/42
    And Bea acquires plan/4
    And Ann releases plan/42
    Then the watch tells
      | RELEASED | plan/42 | Ann |

  Scenario: Those of a type
    Given a lock server
    And Ann holds plan/1
    And Ann holds project/1
    When someone watches the locks of the type project
    Then the snapshot is
      | project/1 | Ann |
    When Ann releases plan/1
    And Ann releases project/1
    And Bea acquires plan/1
    And Bea acquires project/2
    Then the watch tells
      | RELEASED | project/1 | Ann |
      | ACQUIRED | project/2 | Bea |

  Scenario Outline: Those of a type whose ids start with something, as it is written
    Given a lock server
    And Ann holds plan/<prefix>1
    And Ann holds plan/other
    And Ann holds project/<prefix>1
    When someone watches the locks of the type plan with the prefix <prefix>
    Then the snapshot is
      | plan/<prefix>1 | Ann |
    When Bea acquires plan/another
    And Bea acquires project/<prefix>2
    And Bea acquires plan/<prefix>2
    Then the watch tells
      | ACQUIRED | plan/<prefix>2 | Bea |

    Examples:
      | prefix |
      | east-  |
      | %      |
      | _      |
      | \\     |
      | ö      |

  Scenario Outline: What cannot be watched is refused field by field
    Given a lock server
    When someone watches with
      | <field> | <value> |
      | <other> | <its>   |
    Then the watch is refused with INVALID_REQUEST
    And the refusal names exactly the fields "<wrong>"

    Examples:
      | field         | value   | other         | its     | wrong                      |
      | resource.type | Plan    | resource.id   | (empty) | resource.type, resource.id |
      | resource      | plan/42 | resource_type | plan    | resource_type              |
      | resource      | plan/42 | id_prefix     | 4       | id_prefix                  |
      | resource_type | Plan    | id_prefix     | 4       | resource_type              |
      | id_prefix     | 4       | id_prefix     | 4       | resource_type              |
      | resource_type | plan    | id_prefix     | 513 × a | id_prefix                  |

  # === how it goes on and ends ===

  Scenario: Silence is not death
    Given a lock server
    And Ann holds plan/42
    When someone watches all locks
    Then within 15 s the watch says that it goes on
    When Ann releases plan/42
    Then the watch tells
      | RELEASED | plan/42 | Ann |

  Scenario: Several watch at the same time, each what it asked for
    Given a lock server
    And someone watches all locks
    And someone else watches plan/42
    When Ann acquires plan/1
    And Ann acquires plan/42
    Then the watch tells
      | ACQUIRED | plan/1  | Ann |
      | ACQUIRED | plan/42 | Ann |
    And the other watch tells
      | ACQUIRED | plan/42 | Ann |
    When the first watch ends
    And Ann releases plan/42
    Then the other watch tells
      | RELEASED | plan/42 | Ann |

  Scenario: A new watch begins with a new snapshot
    Given a lock server
    And Ann holds plan/1
    And someone watches all locks
    And Ann releases plan/1
    And Bea holds plan/2
    When someone watches all locks
    Then the snapshot is
      | plan/2 | Bea |

  Scenario: A server that stops ends its watches
    Given a lock server
    And Ann holds plan/42
    And someone watches all locks
    When the server is told to stop
    Then the watch is refused with SHUTTING_DOWN
    And the server ends by itself

  @postgres
  Scenario Outline: Without the database the watch ends, and can begin anew
    Given a lock server whose database can be taken away, with "--store-timeout 1s"
    And Ann holds plan/42 for 600 s
    And someone watches all locks
    When the database <goes>
    Then the watch is refused with STORE_UNAVAILABLE
    When the database <returns>
    Then within a moment plan/42 answers again
    When someone watches all locks
    Then the snapshot is
      | plan/42 | Ann |
    When Ann releases plan/42
    Then the watch tells
      | RELEASED | plan/42 | Ann |

    Examples:
      | goes    | returns  |
      | stops   | starts   |
      | crashes | starts   |

  # === several servers ===

  @postgres
  Scenario: Whichever server does it
    Given two lock servers, East and West, on one database
    And callers turn to East
    And Ann holds plan/1
    And someone watches all locks
    When callers turn to West
    And Ann releases plan/1
    And Bea acquires plan/2
    And Ann acquires plan/1 for 300 ms
    Then the watch tells
      | RELEASED | plan/1 | Ann |
      | ACQUIRED | plan/1 | Ann |
      | EXPIRED  | plan/1 | Ann |
      | ACQUIRED | plan/2 | Bea |
    When Bea acquires plan/1
    And an operator breaks Bea's hold on plan/2, with the reason "stuck"
    Then the watch tells
      | TAKEN_OVER     | plan/1 | Bea |
      | FORCE_RELEASED | plan/2 | Bea |

  @postgres
  Scenario: A hand-over from one server to another
    Given two lock servers, East and West, on one database
    And callers turn to East
    And Ann holds plan/42
    And someone watches plan/42
    And callers turn to West
    And someone else watches plan/42
    And Bea waits for plan/42
    When callers turn to East
    And Ann releases plan/42
    Then Bea is granted plan/42
    And the watch tells
      | RELEASED | plan/42 | Ann |
      | ACQUIRED | plan/42 | Bea |
    And the other watch tells
      | RELEASED | plan/42 | Ann |
      | ACQUIRED | plan/42 | Bea |

  @postgres
  Scenario: In order for each resource, with all servers at work
    Given three lock servers, East, West and North, on one database
    And callers turn to East
    And someone watches plan/42
    When Ann takes and releases plan/42 30 times at all servers in turn
    Then the watch tells of 30 holds of plan/42, each acquired and released, with tokens that grow

  @postgres
  Scenario: When one server is gone, another one is watched
    Given two lock servers, East and West, on one database
    And callers turn to West
    And someone watches all locks
    And callers turn to East
    And Ann holds plan/42
    When the server is killed
    And callers turn to West
    And Ann releases plan/42
    Then the watch tells
      | ACQUIRED | plan/42 | Ann |
      | RELEASED | plan/42 | Ann |
