// DescribeConfigs: v1-4. v1 adds sources and synonyms (KIP-226), v3 types and documentation
// (KIP-569). v4 is flexible.

import {
  array,
  boolean,
  int8,
  int16,
  int32,
  message,
  nullable,
  since,
  string,
  struct,
  withDefault,
} from '../schema.ts'

export const apiName = 'DescribeConfigs'
export const apiKey = 32
export const versions = [1, 4] as const

/** Values of resourceType. */
export const TOPIC_RESOURCE = 2
export const BROKER_RESOURCE = 4

export const request = message(
  { versions, flexible: 4 },
  {
    resources: array(
      struct({
        resourceType: int8(),
        resourceName: string(),
        /** Null asks for all. */
        configurationKeys: withDefault(nullable(array(string())), null),
      }),
    ),
    includeSynonyms: withDefault(boolean(), false),
    includeDocumentation: since(3, boolean(), false),
  },
)

export const response = message(
  { versions, flexible: 4 },
  {
    throttleTimeMs: withDefault(int32(), 0),
    results: array(
      struct({
        errorCode: int16(),
        errorMessage: withDefault(nullable(string()), null),
        resourceType: int8(),
        resourceName: string(),
        configs: array(
          struct({
            name: string(),
            value: nullable(string()),
            readOnly: boolean(),
            /** 1: of the topic; 2, 3: dynamic, of the broker; 4: static, of the broker; 5: default. */
            configSource: int8(),
            isSensitive: boolean(),
            synonyms: withDefault(
              array(struct({ name: string(), value: nullable(string()), source: int8() })),
              [],
            ),
            /** 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password. */
            configType: since(3, int8(), 0),
            documentation: since(3, nullable(string()), null),
          }),
        ),
      }),
    ),
  },
)
