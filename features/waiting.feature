Feature: Waiting in line
  Who meets a lock that another owner holds may wait for it, in line with
  others, for as long as it says. It is granted in the order of arrival; a lock
  that somebody waits for goes from hand to hand and is free for nobody else in
  between.

  Background:
    Given a lock server

  # === granted ===

  Scenario: Who waits gets the lock once it is released
    Given Ann holds plan/42
    And Bea waits for plan/42
    When Ann releases plan/42
    Then the answer is that a lease ended
    And Bea is granted plan/42
    And the token is higher than before
    And plan/42 is held by Bea exactly as before
    And nobody waits for plan/42
    And the audit trail is empty

  Scenario: In the order of arrival
    Given Ann holds plan/42
    And Bea waits for plan/42
    And Cleo waits for plan/42
    And Dora waits for plan/42
    When Ann releases plan/42
    Then Bea is granted plan/42
    And plan/42 is held by Bea exactly as before
    And Cleo still waits for plan/42
    And Dora still waits for plan/42
    And 2 wait for plan/42
    When Bea releases plan/42
    Then Cleo is granted plan/42
    And plan/42 is held by Cleo exactly as before
    And Dora still waits for plan/42
    When Cleo releases plan/42
    Then Dora is granted plan/42
    And plan/42 is held by Dora exactly as before
    And every grant of plan/42 had a higher token than the one before
    And the audit trail is empty

  Scenario: However many they are
    Given Ann holds plan/42
    And 24 owners wait for plan/42
    When Ann releases plan/42
    Then all 24 are granted plan/42 in the order in which they came
    And plan/42 is free
    And every grant of plan/42 had a higher token than the one before

  Scenario: A line for each resource
    Given Ann holds plan/1
    And Ann holds plan/2
    And Ann holds project/1
    And Bea waits for plan/1
    And Cleo waits for plan/2
    And Dora waits for project/1
    When Ann releases plan/2
    Then Cleo is granted plan/2
    And Bea still waits for plan/1
    And Dora still waits for project/1
    When Ann releases project/1
    Then Dora is granted project/1
    And Bea still waits for plan/1
    And plan/1 is held by Ann

  Scenario: One owner waits for several resources
    Given Ann holds plan/1
    And Ann holds plan/2
    And Bea waits for plan/1
    And Bea waits for plan/2
    When Ann releases plan/2
    Then Bea is granted plan/2
    And Bea still waits for plan/1
    When Ann releases plan/1
    Then Bea is granted plan/1
    And plan/2 is held by Bea

  Scenario: The lock is what its waiter asked for, and counts from the grant
    Given Ann holds plan/42 for 300 s with the metadata
      | host | build-7 |
    And Bea waits for plan/42 to hold it for 60 s with the metadata
      | job | nightly |
    And Cleo waits for plan/42 to hold it for 90 s
    When Ann renews plan/42
    And Ann releases plan/42
    Then Bea is granted plan/42
    And it was acquired later than before
    And it was last renewed when it was acquired
    And its ttl is 60 s
    And it expires 60 s after it was acquired
    And what remains is more than 50 s
    And its metadata is
      | job | nightly |
    And plan/42 is held by Bea exactly as before
    When Bea releases plan/42
    Then Cleo is granted plan/42
    And it expires 90 s after it was acquired
    And what remains is more than 80 s
    And its metadata is empty

  Scenario: What was granted in line is a lock like any other
    Given Ann holds plan/42
    And Bea waits for plan/42
    When Ann releases plan/42
    Then Bea is granted plan/42
    When Bea renews plan/42 for 120 s
    Then the lock is renewed
    And the token is the same as before
    When Bea acquires plan/42
    Then the lock is re-entered
    And the token is the same as before
    When Ann renews plan/42
    Then the request is refused with LOCK_NOT_HELD
    And the refusal names Bea as the holder
    When Ann releases plan/42
    Then the request is refused with LOCK_NOT_HELD
    When Bea releases plan/42
    Then the answer is that a lease ended
    And plan/42 is free

  # === granted at once ===

  Scenario: What is free is granted at once
    Given Ann holds plan/42
    And Ann releases plan/42
    When Bea waits for plan/42
    Then Bea is granted plan/42
    And the answer came within 5 s

  Scenario: What is stale is granted at once
    Given Ann's lease on plan/42 has run out
    When Bea waits for plan/42
    Then Bea is granted plan/42
    And the answer came within 5 s
    And the audit trail is
      | TAKEN_OVER | plan/42 | Ann | Bea | (none) |

  Scenario: Who holds it itself re-enters it at once
    Given Ann holds plan/42
    And Bea waits for plan/42
    When Ann waits for plan/42
    Then Ann re-enters plan/42
    And the token is the same as before
    And 1 waits for plan/42
    When Ann releases plan/42
    Then Bea is granted plan/42

  # === not granted ===

  Scenario: Who does not wait is refused at once
    Given Ann holds plan/42
    And Bea waits for plan/42
    When Cleo acquires plan/42
    Then the request is refused with LOCK_CONFLICT
    And the answer came within 5 s
    And 1 waits for plan/42

  Scenario: A wait of no time is none
    Given Ann holds plan/42
    When Bea waits 0 s for plan/42
    Then Bea's wait for plan/42 is refused with LOCK_CONFLICT
    And the answer came within 5 s
    And the refusal names Ann as the holder
    And the refusal tells that 0 wait
    And nobody waits for plan/42

  Scenario: When the wait is over, it is a conflict like any other
    Given Ann holds plan/42 for 300 s with the metadata
      | host | build-7 |
    When Bea waits 300 ms for plan/42
    Then Bea's wait for plan/42 is refused with LOCK_CONFLICT
    And the answer took at least 300 ms
    And the refusal tells
      | resource     | plan/42 |
      | holder       | Ann     |
      | queue_length | 0       |
      | holder.host  | build-7 |
    And the refusal tells the acquire_time and expire_time of Ann's lock
    And the refusal tells between 1 and 299700 as the remaining_ms
    And the refusal's ResourceInfo names Ann as the owner
    And the refusal says to try again after more than nothing and at most 300 s
    And nobody waits for plan/42
    And plan/42 is held by Ann exactly as before

  Scenario: It tells of the holder of then, who has renewed since
    Given Ann holds plan/42 for 1 s
    And Bea waits 2 s for plan/42
    When Ann renews plan/42 for 120 s
    Then Bea's wait for plan/42 is refused with LOCK_CONFLICT
    And the answer took at least 2 s
    And the refusal tells the acquire_time and expire_time of Ann's lock
    And the refusal tells between 60000 and 120000 as the remaining_ms

  Scenario: It tells of the holder of then, who was granted it since
    Given Ann holds plan/42
    And Bea waits for plan/42
    And Cleo waits 2 s for plan/42
    And Dora waits for plan/42
    When Ann releases plan/42
    Then Bea is granted plan/42
    And Cleo's wait for plan/42 is refused with LOCK_CONFLICT
    And the refusal names Bea as the holder
    And the refusal tells the acquire_time and expire_time of Bea's lock
    And the refusal tells that 1 waits

  Scenario: Who waited in vain may wait again, behind the others
    Given Ann holds plan/42
    And Bea waits 300 ms for plan/42
    And Cleo waits for plan/42
    Then Bea's wait for plan/42 is refused with LOCK_CONFLICT
    And the refusal tells that 1 waits
    When Bea waits for plan/42
    And Ann releases plan/42
    Then Cleo is granted plan/42
    And Bea still waits for plan/42
    When Cleo releases plan/42
    Then Bea is granted plan/42

  # === nobody overtakes ===

  Scenario: A newcomer does not overtake
    Given Ann holds plan/42
    And Bea waits for plan/42
    And Ann releases plan/42
    When Cleo acquires plan/42
    Then the request is refused with LOCK_CONFLICT
    And the refusal names Bea as the holder
    And Bea is granted plan/42

  Scenario: Nor one that waits
    Given Ann holds plan/42
    And Bea waits for plan/42
    And Ann releases plan/42
    When Cleo waits for plan/42
    Then Bea is granted plan/42
    And Cleo still waits for plan/42

  Scenario: Nor who held it before
    Given Ann holds plan/42
    And Bea waits for plan/42
    When Ann releases plan/42
    And Ann acquires plan/42
    Then the request is refused with LOCK_CONFLICT
    And the refusal names Bea as the holder
    When Ann waits for plan/42
    Then Bea is granted plan/42
    When Bea releases plan/42
    Then Ann is granted plan/42

  Scenario: Many who come as the lease runs out do not overtake either
    Given Ann holds plan/42 for 1500 ms
    And Bea waits for plan/42
    And Cleo waits for plan/42
    When many keep asking for plan/42 until Ann has it no more
    Then none of them was granted it
    And Bea is granted plan/42
    And Cleo still waits for plan/42

  # === one place ===

  Scenario: Two calls of one owner share a place, and both get the lock
    Given Ann holds plan/42
    And Bea waits for plan/42 to hold it for 60 s
    And Cleo waits for plan/42
    When Bea waits for plan/42 by another call to hold it for 90 s
    Then 2 wait for plan/42
    When Ann releases plan/42
    Then Bea is granted plan/42
    And its ttl is 90 s
    And Bea gets plan/42 with the same token
    And Cleo still waits for plan/42
    And 1 waits for plan/42
    When Bea releases plan/42
    Then Cleo is granted plan/42
    And plan/42 is held by Cleo exactly as before

  Scenario: One of two calls that share a place may go
    Given Ann holds plan/42
    And Bea waits for plan/42 to hold it for 60 s
    And Bea waits for plan/42 by another call to hold it for 90 s
    And Cleo waits for plan/42
    When Bea gives up waiting for plan/42
    And Cleo gives up waiting for plan/42
    Then within 5 s 1 waits for plan/42
    When Ann releases plan/42
    Then Bea is granted plan/42
    And plan/42 is held by Bea exactly as before

  # === how many wait ===

  Scenario: Everybody is told how many wait
    Given Ann holds plan/1
    And Ann holds plan/2
    And Bea waits for plan/2
    And Cleo waits for plan/2
    When Dora acquires plan/2
    Then the request is refused with LOCK_CONFLICT
    And the refusal tells that 2 wait
    When the locks are listed
    Then the locks and how many wait for each are
      | plan/1 | 0 |
      | plan/2 | 2 |
    When Ann releases plan/2
    Then Bea is granted plan/2
    And 1 waits for plan/2
    When Dora acquires plan/2
    Then the request is refused with LOCK_CONFLICT
    And the refusal names Bea as the holder
    And the refusal tells that 1 waits
    When the locks are listed
    Then the locks and how many wait for each are
      | plan/1 | 0 |
      | plan/2 | 1 |
