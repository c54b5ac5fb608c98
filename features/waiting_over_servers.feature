@postgres
Feature: One line over all servers
  Whoever waits for a lock stands in one line, at whichever server of the
  database it asked. What happens at one server ends a wait at another at once.

  # === two servers ===

  Scenario: A release at one is a grant at the other
    Given two lock servers, East and West, on one database
    And callers turn to East
    And Ann holds plan/42
    And callers turn to West
    And Bea waits for plan/42
    When callers turn to East
    And Ann releases plan/42
    Then the answer is that a lease ended
    And Bea is granted plan/42
    And the token is higher than before
    And plan/42 is held by Bea exactly as before
    And nobody waits for plan/42
    When callers turn to West
    Then plan/42 is held by Bea exactly as before
    And the audit trail is empty

  Scenario: In the order of arrival, over both
    Given two lock servers, East and West, on one database
    And callers turn to East
    And Ann holds plan/42
    And Bea waits for plan/42
    And callers turn to West
    And Cleo waits for plan/42
    And callers turn to East
    And Dora waits for plan/42
    And callers turn to West
    And Edda waits for plan/42
    When Ann releases plan/42
    Then Bea is granted plan/42
    And 3 wait for plan/42
    When Bea releases plan/42
    Then Cleo is granted plan/42
    And Dora still waits for plan/42
    And Edda still waits for plan/42
    When Cleo releases plan/42
    Then Dora is granted plan/42
    When Dora releases plan/42
    Then Edda is granted plan/42
    And every grant of plan/42 had a higher token than the one before
    And the audit trail is empty

  Scenario: A newcomer at one does not overtake who waits at the other
    Given two lock servers, East and West, on one database
    And callers turn to East
    And Ann holds plan/42
    And Bea waits for plan/42
    When callers turn to West
    And Ann releases plan/42
    And Cleo acquires plan/42
    Then the request is refused with LOCK_CONFLICT
    And the refusal names Bea as the holder
    And Bea is granted plan/42

  Scenario: A lease that runs out
    Given two lock servers, East and West, on one database
    And callers turn to East
    And Ann holds plan/42 for 1500 ms
    And callers turn to West
    And Bea waits for plan/42 to hold it for 60 s
    And callers turn to East
    And Cleo waits for plan/42
    Then Bea is granted plan/42
    And it was granted less than 1 s after Ann's lease ran out
    And what remains is more than 50 s
    And 1 waits for plan/42
    And the audit trail is
      | TAKEN_OVER | plan/42 | Ann | Bea | (none) |

  Scenario: A lease that its holder cuts short at another server
    Given two lock servers, East and West, on one database
    And callers turn to East
    And Ann holds plan/42 for 300 s
    And Bea waits for plan/42
    When callers turn to West
    And Ann renews plan/42 for 100 ms
    Then Bea is granted plan/42
    And it was granted less than 1 s after Ann's lease ran out

  Scenario Outline: What else ends a hold at one is a grant at the other
    Given two lock servers, East and West, on one database
    And callers turn to East
    And Ann holds plan/42
    And Bea waits for plan/42
    And Cleo waits for plan/42
    When callers turn to West
    And <ends>
    Then Bea is granted plan/42
    And the token is higher than before
    And Cleo still waits for plan/42
    And 1 waits for plan/42

    Examples:
      | ends                                                                |
      | Ann releases everything                                             |
      | an operator breaks Ann's hold on plan/42, with the reason "stuck"   |

  Scenario: An owner that releases everything at one leaves the line at the other
    Given two lock servers, East and West, on one database
    And callers turn to East
    And Ann holds plan/42
    And Bea waits for plan/42
    And Cleo waits for plan/42
    When callers turn to West
    And Bea releases everything
    Then Bea's wait for plan/42 is refused with WAIT_CANCELLED
    And 1 waits for plan/42
    When Ann releases plan/42
    Then Cleo is granted plan/42

  Scenario: Who gives up at one makes room at the other
    Given two lock servers, East and West, on one database
    And callers turn to East
    And Ann holds plan/42
    And Bea waits for plan/42
    And callers turn to West
    And Cleo waits for plan/42
    When Bea gives up waiting for plan/42
    Then within 5 s 1 waits for plan/42
    When Ann releases plan/42
    Then Cleo is granted plan/42

  Scenario: Who gives up at one as the lock is released at the other
    Given two lock servers, East and West, on one database
    And callers turn to East
    And Ann holds plan/42
    And Bea waits for plan/42
    And callers turn to West
    And Cleo waits for plan/42
    When Bea gives up waiting for plan/42
    And Ann releases plan/42
    Then Cleo is granted plan/42
    And plan/42 is held by Cleo exactly as before

  Scenario: Two calls of one owner, one at each, share a place
    Given two lock servers, East and West, on one database
    And callers turn to East
    And Ann holds plan/42
    And Bea waits for plan/42 to hold it for 60 s
    And callers turn to West
    And Bea waits for plan/42 by another call to hold it for 90 s
    Then 1 waits for plan/42
    When Ann releases plan/42
    Then Bea gets plan/42
    And Bea gets plan/42 with the same token
    And plan/42 is held by Bea
    And nobody waits for plan/42

  Scenario: One of two calls that share a place over servers may go
    Given two lock servers, East and West, on one database
    And callers turn to East
    And Ann holds plan/42
    And Bea waits for plan/42 to hold it for 60 s
    And callers turn to West
    And Bea waits for plan/42 by another call to hold it for 90 s
    And Cleo waits for plan/42
    When Bea gives up waiting for plan/42
    And Cleo gives up waiting for plan/42
    Then within 5 s 1 waits for plan/42
    When Ann releases plan/42
    Then Bea is granted plan/42
    And plan/42 is held by Bea exactly as before

  Scenario: Who has come to hold it elsewhere waits no more
    Given two lock servers, East and West, on one database
    And callers turn to East
    And Ann holds plan/42
    And Bea waits for plan/42
    And callers turn to West
    And Ann releases plan/42
    When Bea acquires plan/42
    Then plan/42 is held by Bea
    And Bea gets plan/42 with the same token

  # === a server that stops ===

  Scenario: Who waits at a server that stops is told, and has its place elsewhere
    Given two lock servers, East and West, on one database
    And callers turn to West
    And Ann holds plan/42
    And callers turn to East
    And Bea waits for plan/42
    And callers turn to West
    And Cleo waits for plan/42
    And callers turn to East
    When the server is told to stop
    Then Bea's wait for plan/42 is refused with SHUTTING_DOWN
    And the server ends by itself
    When callers turn to West
    Then 2 wait for plan/42
    And Cleo still waits for plan/42
    When Bea waits for plan/42 by another call to hold it for 60 s
    Then 2 wait for plan/42
    When Ann releases plan/42
    Then Bea is granted plan/42
    And Cleo still waits for plan/42

  Scenario: Who is granted it on the way from one server to the other gets it there
    Given two lock servers, East and West, on one database
    And callers turn to West
    And Ann holds plan/42
    And callers turn to East
    And Bea waits for plan/42
    And callers turn to West
    And Cleo waits for plan/42
    And callers turn to East
    When the server is told to stop
    Then Bea's wait for plan/42 is refused with SHUTTING_DOWN
    And the server ends by itself
    When callers turn to West
    And Ann releases plan/42
    Then plan/42 is held by Bea
    When Bea waits for plan/42
    Then Bea gets plan/42
    And plan/42 is held by Bea exactly as before
    And Cleo still waits for plan/42
    When Bea releases plan/42
    Then Cleo is granted plan/42

  Scenario: Who waits at a server that is killed has its place elsewhere
    Given two lock servers, East and West, on one database
    And callers turn to West
    And Ann holds plan/42
    And callers turn to East
    And Bea waits for plan/42
    And callers turn to West
    And Cleo waits for plan/42
    And callers turn to East
    When the server is killed
    And Bea gives up waiting for plan/42
    And callers turn to West
    And Bea waits for plan/42 by another call to hold it for 60 s
    Then 2 wait for plan/42
    When Ann releases plan/42
    Then Bea is granted plan/42
    And its ttl is 60 s
    And Cleo still waits for plan/42

  Scenario Outline: What was granted to who does not ask for it elsewhere is passed on
    Given two lock servers, East and West, on one database, with "--waiter-grace 1s"
    And callers turn to West
    And Ann holds plan/42
    And callers turn to East
    And Bea waits for plan/42
    And callers turn to West
    And Cleo waits for plan/42
    And callers turn to East
    When the server <ends>
    And Bea gives up waiting for plan/42
    And callers turn to West
    And Ann releases plan/42
    Then Cleo is granted plan/42
    And plan/42 is held by Cleo exactly as before

    Examples:
      | ends      |
      | stops     |
      | is killed |

  Scenario: Who does not ask elsewhere has its place for a while only
    Given two lock servers, East and West, on one database, with "--waiter-grace 1s"
    And callers turn to West
    And Ann holds plan/42
    And callers turn to East
    And Bea waits for plan/42
    And callers turn to West
    And Cleo waits for plan/42
    And callers turn to East
    When the server is told to stop
    Then Bea's wait for plan/42 is refused with SHUTTING_DOWN
    And the server ends by itself
    When callers turn to West
    Then within a moment 1 waits for plan/42
    When Ann releases plan/42
    Then Cleo is granted plan/42

  # === deadlocks ===

  Scenario: Two who wait for each other at two servers
    Given two lock servers, East and West, on one database
    And callers turn to East
    And Ann holds plan/1
    And callers turn to West
    And Bea holds plan/2
    And callers turn to East
    And Ann waits for plan/2
    When callers turn to West
    And Bea waits for plan/1
    Then Bea's wait for plan/1 is refused with DEADLOCK
    And the answer came within 1 s
    And the refusal tells
      | cycle    | Bea → plan/1 → Ann → plan/2 → Bea |
      | resource | plan/1                            |
      | owner_id | Bea                               |
      | holder   | Ann                               |
    And nobody waits for plan/1
    And Ann still waits for plan/2
    When Bea releases plan/2
    Then Ann is granted plan/2

  Scenario: Three in a circle at three servers
    Given three lock servers, East, West and North, on one database
    And callers turn to East
    And Ann holds plan/1
    And Bea holds plan/2
    And Cleo holds project/3
    And Ann waits for plan/2
    And callers turn to West
    And Bea waits for project/3
    When callers turn to North
    And Cleo waits for plan/1
    Then Cleo's wait for plan/1 is refused with DEADLOCK
    And the answer came within 1 s
    And the refusal tells
      | cycle | Cleo → plan/1 → Ann → plan/2 → Bea → project/3 → Cleo |
    And Ann still waits for plan/2
    And Bea still waits for project/3
    When Cleo releases project/3
    Then Bea is granted project/3
    When Bea releases plan/2
    Then Ann is granted plan/2

  Scenario: Two who close a circle at two servers at the same moment
    Given two lock servers, East and West, on one database
    And callers turn to East
    And Ann holds plan/1
    And Bea holds plan/2
    When Ann waits for plan/2 at East and Bea for plan/1 at West at the same moment
    Then one of Ann's wait for plan/2 and Bea's for plan/1 is refused with DEADLOCK within 2 s
    And the other one is granted it once the refused one releases everything

  # === three servers ===

  Scenario: In the order of arrival, over three
    Given three lock servers, East, West and North, on one database
    And callers turn to East
    And Ann holds plan/42
    And 18 owners wait for plan/42 at all servers in turn
    When Ann releases plan/42
    Then all 18 are granted plan/42 in the order in which they came
    And plan/42 is free
    And every grant of plan/42 had a higher token than the one before

  Scenario: A lease that runs out while all servers have waiters is handed on once
    Given three lock servers, East, West and North, on one database
    And callers turn to East
    And Ann holds plan/42 for 2 s
    And 6 owners wait for plan/42 at all servers in turn
    Then all 6 are granted plan/42 in the order in which they came
    And the audit trail holds 1 TAKEN_OVER
