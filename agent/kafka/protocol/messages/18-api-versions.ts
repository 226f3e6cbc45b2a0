// ApiVersions: v0-4. v1 adds throttleTimeMs. v3 is flexible, names the client and lists features
// (KIP-511, KIP-584). v4 lets a feature begin at version 0. The response header is v0 in every
// version (see frame.ts), and a request of an unknown version is answered in v0 with error 35.

import {
  array,
  boolean,
  int16,
  int32,
  int64,
  message,
  since,
  string,
  struct,
  tagged,
} from '../schema.ts'

export const apiName = 'ApiVersions'
export const apiKey = 18
export const versions = [0, 4] as const

export const request = message(
  { versions, flexible: 3 },
  { clientSoftwareName: since(3, string(), ''), clientSoftwareVersion: since(3, string(), '') },
)

export const response = message(
  { versions, flexible: 3 },
  {
    errorCode: int16(),
    apiKeys: array(struct({ apiKey: int16(), minVersion: int16(), maxVersion: int16() })),
    throttleTimeMs: since(1, int32(), 0),
    supportedFeatures: tagged(
      0,
      array(struct({ name: string(), minVersion: int16(), maxVersion: int16() })),
      [],
    ),
    finalizedFeaturesEpoch: tagged(1, int64(), -1),
    finalizedFeatures: tagged(
      2,
      array(struct({ name: string(), maxVersionLevel: int16(), minVersionLevel: int16() })),
      [],
    ),
    zkMigrationReady: tagged(3, boolean(), false),
  },
)
