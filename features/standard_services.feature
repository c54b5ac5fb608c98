Feature: The standard services beside the locks
  Orchestrators ask for health, people and tools ask what there is to call.

  Background:
    Given a lock server

  Scenario Outline: Health
    Then the health of "<service>" is SERVING

    Examples:
      | service             |
      |                     |
      | lock.v1.LockService |

  Scenario: The health of what is not there is not known
    Then the health of "no.such.Service" is not known

  Scenario Outline: Reflection tells of all services
    When the services are asked for through reflection <version>
    Then among them are
      | lock.v1.LockService                      |
      | grpc.health.v1.Health                    |

    Examples:
      | version |
      | v1      |
      | v1alpha |

  Scenario Outline: Reflection explains errors as well
    When the symbol "<symbol>" is asked for through reflection v1
    Then it is found

    Examples:
      | symbol                    |
      | lock.v1.LockService       |
      | lock.v1.AcquireRequest    |
      | lock.v1.SessionResponse   |
      | lock.v1.ForceReleaseRequest |
      | lock.v1.AuditEvent        |
      | google.rpc.Status         |
      | google.rpc.ErrorInfo      |
      | google.rpc.BadRequest     |
      | google.rpc.RetryInfo      |
      | google.rpc.ResourceInfo   |
      | google.rpc.QuotaFailure   |
