Feature: An operator breaks a hold
  A holder that is stuck keeps its lock as long as it renews. An operator can
  break its hold, and must say why. Only the hold that the operator saw is
  broken, never one that came after it; and who held it hears by whom and why.

  Background:
    Given a lock server

  Scenario: A live hold is broken
    Given Ann holds plan/42 for 60 s with the metadata
      | host | build-7 |
    When an operator breaks Ann's hold on plan/42, with the reason "stuck since noon"
    Then Ann's hold is broken
    And it is live with time remaining
    And plan/42 is free

  Scenario: A stale lock is broken
    Given Ann's lease on plan/42 has run out
    When an operator breaks Ann's hold on plan/42, with the reason "left behind"
    Then Ann's hold is broken
    And it is stale with nothing remaining
    And plan/42 is free

  Scenario: Nothing else is broken
    Given Ann holds plan/1
    And Ann holds plan/2
    And Ann holds project/1
    When an operator breaks Ann's hold on plan/1, with the reason "stuck"
    Then Ann's hold is broken
    And plan/2 is held by Ann exactly as before
    And project/1 is held by Ann exactly as before

  Scenario: The next owner gets a higher token
    Given Ann holds plan/42
    And Ann's hold on plan/42 was broken, with the reason "stuck"
    When Bea acquires plan/42
    Then the lock is granted
    And the token is higher than before
    And its metadata is empty

  Scenario: Who was broken may acquire again, with a higher token
    Given Ann holds plan/42
    And Ann's hold on plan/42 was broken, with the reason "stuck"
    When Ann acquires plan/42
    Then the lock is granted
    And the token is higher than before
    And every grant of plan/42 had a higher token than the one before

  # === the broken holder ===

  Scenario: A renewal is told by whom and why
    Given Ann holds plan/42
    And Ann's hold on plan/42 was broken, with the reason "stuck since noon"
    When Ann renews plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal says that 127.0.0.1 broke the hold, with the reason "stuck since noon"
    And the refusal names no holder
    And the refusal tells
      | resource | plan/42 |
      | owner_id | Ann     |
    And plan/42 is free

  Scenario: And also who has it by then
    Given Ann holds plan/42
    And Ann's hold on plan/42 was broken, with the reason "stuck since noon"
    And Bea holds plan/42
    When Ann renews plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal says that 127.0.0.1 broke the hold, with the reason "stuck since noon"
    And the refusal names Bea as the holder
    And plan/42 is held by Bea exactly as before

  Scenario: Who was stale when its lock was broken is told so, too
    Given Ann's lease on plan/42 has run out
    And Ann's hold on plan/42 was broken, with the reason "left behind"
    When Ann renews plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal says that 127.0.0.1 broke the hold, with the reason "left behind"

  Scenario: A release of what was broken is no error
    Given Ann holds plan/42
    And Ann's hold on plan/42 was broken, with the reason "stuck"
    When Ann releases plan/42
    Then the answer is that no lease ended
    And plan/42 is free

  Scenario: A release is told by whom and why, once another holds it
    Given Ann holds plan/42
    And Ann's hold on plan/42 was broken, with the reason "stuck since noon"
    And Bea holds plan/42
    When Ann releases plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal says that 127.0.0.1 broke the hold, with the reason "stuck since noon"
    And the refusal names Bea as the holder
    And plan/42 is held by Bea exactly as before

  Scenario: A keep-alive is told by whom and why, and its other leases go on
    Given Ann holds plan/1
    And Ann holds plan/2
    And Ann holds plan/3
    And Ann's hold on plan/2 was broken, with the reason "stuck since noon"
    And Ann's hold on plan/3 was broken, with the reason "moved"
    And Bea holds plan/3
    When a keep-alive is sent for
      | Ann | plan/1 |
      | Ann | plan/2 |
      | Ann | plan/3 |
      | Bea | plan/3 |
      | Ann | plan/2 |
    Then the results are
      | plan/1 | renewed                                                     |
      | plan/2 | LOCK_NOT_HELD, broken by 127.0.0.1 (stuck since noon)       |
      | plan/3 | LOCK_NOT_HELD, broken by 127.0.0.1 (moved), held by Bea     |
      | plan/3 | renewed                                                     |
      | plan/2 | LOCK_NOT_HELD, broken by 127.0.0.1 (stuck since noon)       |

  Scenario: An open stream of keep-alives goes on over it
    Given Ann holds plan/42
    And Ann keeps plan/42 alive over an open stream
    When an operator breaks Ann's hold on plan/42, with the reason "stuck"
    And a keep-alive is sent for
      | Ann | plan/42 |
    Then the results are
      | plan/42 | LOCK_NOT_HELD, broken by 127.0.0.1 (stuck) |
    And the stream ends well when the caller has no more requests

  Scenario: Over a command stream it is told the same
    Given callers use a command stream
    And Ann holds plan/42
    When an operator breaks Ann's hold on plan/42, with the reason "stuck since noon"
    Then Ann's hold is broken
    When Ann renews plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal says that 127.0.0.1 broke the hold, with the reason "stuck since noon"
    When a keep-alive is sent for
      | Ann | plan/42 |
    Then the results are
      | plan/42 | LOCK_NOT_HELD, broken by 127.0.0.1 (stuck since noon) |
    And the command stream goes on

  Scenario Outline: Whose hold was not broken is told of no operator
    Given Ann holds plan/42
    And Ann's hold on plan/42 was broken, with the reason "stuck"
    And Bea holds plan/42
    When <who> renews plan/42 <how>
    Then the request is refused with LOCK_NOT_HELD
    And the refusal tells nothing under "release"

    Examples:
      | who  | how                   |
      | Cleo | with the token of Ann |
      | Bea  | with the token of Ann |
      | Ann  | with the token of Bea |
      | Ann  | with the token 7      |

  Scenario: Of two holds of one owner each has its own end
    Given Ann holds plan/42
    And Ann's hold on plan/42 was broken, with the reason "stuck"
    And Ann holds plan/42
    And Ann releases plan/42
    When Ann renews plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal tells nothing under "release"
    When Ann renews plan/42 with the first token of plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal says that 127.0.0.1 broke the hold, with the reason "stuck"

  Scenario Outline: It is told after the server was replaced, too
    Given Ann holds plan/42
    And Ann's hold on plan/42 was broken, with the reason "stuck since noon"
    When the server <ends>
    And the server starts again
    And Ann renews plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal says that 127.0.0.1 broke the hold, with the reason "stuck since noon"

    Examples:
      | ends      |
      | stops     |
      | is killed |

  # === what is not broken ===

  Scenario: A token that has moved on breaks nothing
    Given Ann holds plan/42
    And Ann releases plan/42
    And Bea holds plan/42
    When an operator breaks Ann's hold on plan/42, with the reason "stuck"
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names Bea as the holder
    And the refusal tells Bea's token as the fencing_token
    And the refusal tells Ann's token as the asked_token
    And plan/42 is held by Bea exactly as before

  Scenario: Neither does the token of an earlier hold of the same owner
    Given Ann holds plan/42
    And Ann releases plan/42
    And Ann holds plan/42
    When an operator breaks the hold on plan/42 under its first token
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names Ann as the holder
    And the refusal tells Ann's token as the fencing_token
    And plan/42 is held by Ann exactly as before

  Scenario: A stale lock under another token stays as it is
    Given Ann's lease on plan/42 has run out
    And Bea's lease on plan/42 has run out
    When an operator breaks Ann's hold on plan/42, with the reason "stuck"
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names Bea as the holder
    And the refusal tells Bea's token as the fencing_token
    And plan/42 is stale

  Scenario: The largest token there is, is just a wrong one
    Given Ann holds plan/42
    When ForceRelease is asked for with
      | fencing_token | 18446744073709551615 |
    Then the request is refused with LOCK_NOT_HELD
    And the refusal tells
      | asked_token | 18446744073709551615 |
    And plan/42 is held by Ann exactly as before

  Scenario: What is free cannot be broken
    Given Ann holds plan/42
    And Ann releases plan/42
    When an operator breaks Ann's hold on plan/42, with the reason "stuck"
    Then the request is refused with LOCK_NOT_FOUND
    And plan/42 is free

  Scenario: What never was cannot be broken
    When an operator breaks Ann's hold on plan/42, with the reason "a typo"
    Then the request is refused with LOCK_NOT_FOUND
    And plan/42 is free

  # === once more, and at once ===

  Scenario: A second try changes nothing
    Given Ann holds plan/42
    And Ann's hold on plan/42 was broken, with the reason "stuck"
    When an operator breaks Ann's hold on plan/42, with the reason "stuck"
    Then the request is refused with LOCK_NOT_FOUND
    And plan/42 is free
    And the audit trail is
      | FORCE_RELEASE_REFUSED | plan/42 | (none) | 127.0.0.1 | stuck |
      | FORCE_RELEASED        | plan/42 | Ann    | 127.0.0.1 | stuck |

  Scenario: A late second try does not hurt the next holder
    Given Ann holds plan/42
    And Ann's hold on plan/42 was broken, with the reason "stuck"
    And Bea holds plan/42
    When an operator breaks Ann's hold on plan/42, with the reason "stuck"
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names Bea as the holder
    And plan/42 is held by Bea exactly as before

  Scenario: Of many operators at the same moment exactly one breaks the hold
    Given Ann holds plan/42
    When 20 operators break Ann's hold on plan/42 at the same moment
    Then exactly 1 of them broke the hold
    And 19 of them are refused with LOCK_NOT_FOUND
    And the audit trail holds 1 FORCE_RELEASED
    And the audit trail holds 19 FORCE_RELEASE_REFUSED
