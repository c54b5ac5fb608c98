Feature: Commands as messages on one stream
  A busy client sends its commands on one stream, because a message costs a
  fraction of a call. They mean the same, are refused for the same reasons, and
  commands for one resource take effect in the order sent. A command that is
  refused is answered so, and never ends the stream.

  Background:
    Given a lock server
    And callers use a command stream

  Scenario: A free resource is granted, whoever looks
    When Ann acquires plan/42 for 60 s with the metadata
      | host | build-7 |
    Then the lock is granted
    And its ttl is 60 s
    And its metadata is
      | host | build-7 |
    And plan/42 is held by Ann exactly as before

  Scenario: The same owner re-enters its lock
    Given Ann holds plan/42
    When Ann acquires plan/42
    Then the lock is re-entered
    And the token is the same as before

  Scenario: A conflict says who, since when and for how long
    Given Ann holds plan/42 for 60 s with the metadata
      | host | build-7 |
    When Bea acquires plan/42
    Then the request is refused with LOCK_CONFLICT
    And the refusal tells
      | resource     | plan/42 |
      | holder       | Ann     |
      | queue_length | 0       |
      | holder.host  | build-7 |
    And the refusal tells the acquire_time and expire_time of Ann's lock
    And the refusal tells between 1 and 60000 as the remaining_ms
    And the refusal's ResourceInfo names Ann as the owner
    And the refusal says to try again after more than nothing and at most 60 s
    And the command stream goes on

  Scenario: A lease is renewed
    Given Ann holds plan/42 for 60 s
    When Ann renews plan/42 for 120 s
    Then the lock is renewed
    And the token is the same as before
    And it expires later than before
    And it expires 120 s after it was renewed

  Scenario: A lease that has run out is not brought back
    Given Ann's lease on plan/42 has run out
    When Ann renews plan/42
    Then the request is refused with LOCK_EXPIRED
    And plan/42 is stale
    And the command stream goes on

  Scenario: What another holds is neither renewed nor released
    Given Ann holds plan/42
    When Bea renews plan/42 with the token of Ann
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names Ann as the holder
    When Bea releases plan/42 without a token
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names Ann as the holder
    And plan/42 is held by Ann exactly as before
    And the command stream goes on

  Scenario: A lock is released once
    Given Ann holds plan/42
    When Ann releases plan/42
    Then the answer is that a lease ended
    And plan/42 is free
    When Ann releases plan/42
    Then the answer is that no lease ended

  Scenario: Many leases are kept alive with one message
    Given Ann holds plan/1 for 60 s
    And Ann's lease on plan/2 has run out
    And Bea holds plan/3
    When a keep-alive is sent for
      | Ann | plan/1 |
      | Ann | plan/2 |
      | Ann | plan/3 |
      | Ann | plan/1 |
    Then the results are
      | plan/1 | renewed                    |
      | plan/2 | LOCK_EXPIRED               |
      | plan/3 | LOCK_NOT_HELD, held by Bea |
      | plan/1 | renewed                    |
    When a keep-alive is sent for nothing
    Then there are no results

  Scenario: Calls and messages are about the same locks
    Given Ann holds plan/42
    When callers use calls again
    And Bea acquires plan/42
    Then the request is refused with LOCK_CONFLICT
    When Ann renews plan/42
    Then the lock is renewed
    And the token is the same as before
    When Ann releases plan/42
    Then the answer is that a lease ended

  Scenario: Commands for one resource take effect in the order sent
    When these are sent without waiting for an answer
      | Ann | acquires | plan/42 |
      | Bea | acquires | plan/42 |
      | Ann | acquires | plan/42 |
      | Bea | releases | plan/42 |
      | Ann | releases | plan/42 |
      | Ann | releases | plan/42 |
      | Bea | acquires | plan/42 |
      | Ann | acquires | plan/7  |
      | Ann | acquires | plan/42 |
    Then they come to, in the order sent
      | granted                    |
      | LOCK_CONFLICT, held by Ann |
      | re-entered                 |
      | LOCK_NOT_HELD, held by Ann |
      | released                   |
      | was free                   |
      | granted                    |
      | granted                    |
      | LOCK_CONFLICT, held by Bea |
    And plan/42 is held by Bea

  Scenario: A lock goes from hand to hand without an answer in between
    When Ann and Bea take turns on plan/42 200 times without waiting
    Then each of them was granted and released, with tokens that grow
    And plan/42 is free

  # === waiting in line ===

  Scenario: Who waits on the stream keeps nobody else from being answered
    Given Ann holds plan/42
    And Bea waits for plan/42
    When Ann acquires plan/7
    Then the lock is granted
    When Cleo acquires plan/42
    Then the request is refused with LOCK_CONFLICT
    And the refusal tells that 1 waits
    When Ann renews plan/42
    Then the lock is renewed
    When Ann releases plan/42
    Then the answer is that a lease ended
    And Bea is granted plan/42
    And the token is higher than before
    And plan/42 is held by Bea exactly as before

  Scenario: A wait on the stream ends as that of a call does
    Given Ann holds plan/42
    And Bea holds plan/7
    And Bea waits 300 ms for plan/42
    Then Bea's wait for plan/42 is refused with LOCK_CONFLICT
    And the answer took at least 300 ms
    And the refusal tells the acquire_time and expire_time of Ann's lock
    And the refusal tells that 0 wait
    When Ann waits for plan/7
    And Bea waits for plan/42
    Then Bea's wait for plan/42 is refused with DEADLOCK
    And the refusal tells
      | cycle | Bea → plan/42 → Ann → plan/7 → Bea |
    When Ann releases everything
    Then Ann's wait for plan/7 is refused with WAIT_CANCELLED
    And plan/42 is free
    And the command stream goes on

  Scenario: Calls and messages wait in one line
    Given Ann holds plan/42
    And Bea waits for plan/42
    When callers use calls beside the stream
    And Cleo waits for plan/42
    And Ann releases plan/42
    Then Bea is granted plan/42 on the stream
    And Cleo still waits for plan/42
    When Bea releases plan/42
    Then Cleo is granted plan/42

  Scenario: An acquire that waits takes effect in the order sent, too
    When these are sent without waiting for an answer
      | Ann  | acquires  | plan/42 |
      | Bea  | waits for | plan/42 |
      | Cleo | waits for | plan/42 |
      | Dora | acquires  | plan/42 |
      | Ann  | acquires  | plan/7  |
      | Ann  | releases  | plan/42 |
      | Ann  | acquires  | plan/42 |
      | Bea  | acquires  | plan/42 |
      | Bea  | releases  | plan/42 |
      | Bea  | acquires  | plan/42 |
    Then they come to, in the order sent
      | granted                     |
      | granted                     |
      | granted                     |
      | LOCK_CONFLICT, held by Ann  |
      | granted                     |
      | released                    |
      | LOCK_CONFLICT, held by Bea  |
      | re-entered                  |
      | released                    |
      | LOCK_CONFLICT, held by Cleo |
    And plan/42 is held by Cleo

  Scenario: A stream that is gone gives up its places
    Given Ann holds plan/42
    And Bea waits for plan/42
    And Cleo waits for plan/42
    When callers use calls again
    Then within 5 s nobody waits for plan/42
    When Ann releases plan/42
    Then plan/42 is free

  Scenario: Who has no more commands is still told of the grant
    Given Ann holds plan/42
    And Bea waits for plan/42
    When the caller has no more commands
    And callers use calls beside the stream
    And Ann releases plan/42
    Then Bea is granted plan/42 on the stream
    And the command stream ends well
    And plan/42 is held by Bea

  Scenario: A server that stops tells those who wait on the stream
    Given Ann holds plan/42
    And Bea waits for plan/42
    When the server is told to stop
    Then Bea's wait for plan/42 is refused with SHUTTING_DOWN
    And the command stream ends with SHUTTING_DOWN
    And the server ends by itself

  # === what is wrong ===

  Scenario Outline: A wrong command is refused field by field, and the stream goes on
    When <request> is asked for with
      | resource.type | Plan    |
      | resource.id   | (empty) |
      | owner_id      | (empty) |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "resource.type, resource.id, owner_id"
    And the command stream goes on

    Examples:
      | request |
      | Acquire |
      | Renew   |
      | Release |

  Scenario: A wrong lease in a keep-alive is refused, and the stream goes on
    When KeepAlive is asked for with
      | resource.type | Plan    |
      | fencing_token | 0       |
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "leases[3].resource.type, leases[3].fencing_token"
    And the command stream goes on

  Scenario Outline: Too many leases in a keep-alive are refused, and the stream goes on
    Given Ann holds plan/1
    When a keep-alive of <count> leases that nobody holds is sent
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "leases"
    And plan/1 is held by Ann exactly as before
    And the command stream goes on

    Examples:
      | count  |
      | 10001  |
      | 100000 |

  Scenario: A message without a command is refused, and the stream goes on
    When a message without a command is sent
    Then the request is refused with INVALID_REQUEST
    And the refusal names exactly the fields "command"
    And the command stream goes on

  Scenario: The stream ends well when its caller has no more commands
    When Ann acquires plan/42
    Then the lock is granted
    And the command stream ends well when the caller has no more commands
    And plan/42 is held by Ann

  Scenario: A server that stops ends the stream and leaves the locks alone
    Given Ann holds plan/42
    When the server is told to stop
    Then the command stream ends with SHUTTING_DOWN
    And the server ends by itself
    When the server starts again
    Then plan/42 is held by Ann exactly as before

  @postgres
  Scenario Outline: Without the database each command is refused, and the stream outlasts it
    Given a lock server whose database can be taken away, with "--store-timeout 1s"
    And callers use a command stream
    And Ann holds plan/42 for 600 s
    When the database <goes>
    And Bea acquires plan/7
    Then the request is refused with STORE_UNAVAILABLE
    And the answer came within 5 s
    When Ann renews plan/42
    Then the request is refused with STORE_UNAVAILABLE
    When Ann releases plan/42
    Then the request is refused with STORE_UNAVAILABLE
    When a keep-alive is sent for
      | Ann | plan/42 |
    Then the request is refused with STORE_UNAVAILABLE
    When the database <returns>
    Then within a moment plan/8 answers again
    When Ann acquires plan/8
    Then the lock is granted
    And the command stream goes on

    Examples:
      | goes    | returns  |
      | stops   | starts   |
      | crashes | starts   |
      | freezes | wakes up |
