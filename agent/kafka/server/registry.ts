// Every API this listener serves, by key. What ApiVersions tells is computed from here.

import { produce } from './apis/00-produce.ts'
import { fetch } from './apis/01-fetch.ts'
import { listOffsets } from './apis/02-list-offsets.ts'
import { metadata } from './apis/03-metadata.ts'
import { apiVersions } from './apis/18-api-versions.ts'
import { createTopics } from './apis/19-create-topics.ts'
import { deleteTopics } from './apis/20-delete-topics.ts'
import { initProducerId } from './apis/22-init-producer-id.ts'
import { offsetForLeaderEpoch } from './apis/23-offset-for-leader-epoch.ts'
import { describeConfigs } from './apis/32-describe-configs.ts'
import { createPartitions } from './apis/37-create-partitions.ts'
import { describeCluster } from './apis/60-describe-cluster.ts'
import { describeProducers } from './apis/61-describe-producers.ts'
import type { AdvertisedApi } from './broker.ts'
import type { ServedApi } from './served-api.ts'

/** In the order of their keys. */
const SERVED: readonly ServedApi[] = [
  produce,
  fetch,
  listOffsets,
  metadata,
  apiVersions,
  createTopics,
  deleteTopics,
  initProducerId,
  offsetForLeaderEpoch,
  describeConfigs,
  createPartitions,
  describeCluster,
  describeProducers,
]

const BY_KEY = new Map(SERVED.map((api) => [api.apiKey, api]))

export const ADVERTISED: readonly AdvertisedApi[] = SERVED.map(({ apiKey, versions }) => ({
  apiKey,
  minVersion: versions[0],
  maxVersion: versions[1],
}))

/** The names of all served APIs, for metrics. */
export const API_NAMES: readonly string[] = SERVED.map(({ apiName }) => apiName)

export function servedApi(apiKey: number): ServedApi | undefined {
  return BY_KEY.get(apiKey)
}

export function isServed({ versions: [lowest, highest] }: ServedApi, version: number): boolean {
  return version >= lowest && version <= highest
}

/** Whether a request of that key and version has tagged fields; false for what nobody knows. */
export function isFlexible(apiKey: number, version: number): boolean {
  const api = BY_KEY.get(apiKey)
  return api !== undefined && isServed(api, version) && api.isFlexible(version)
}
