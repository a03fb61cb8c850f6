/**
 * HTTP(S) for both ends: client, proxies, credentials and the resumable download with its limits.
 * It does not interpret the bytes.
 */
export { BandwidthCap, cappedPieceBytes } from './bandwidth-cap.ts';
export { Credentials } from './credentials.ts';
export { DownloadError, SourceChanged } from './download-error.ts';
export {
  defaultPatience,
  Download,
  type DownloadPatience,
  type DownloadPorts,
  type DownloadRequest,
} from './download.ts';
export { fetchSmall } from './fetch-small.ts';
export { type HttpClient, openHttpClient } from './http-client.ts';
export { JobBudget } from './job-budget.ts';
export { asNoSpace, PartialFile } from './partial-file.ts';
export { proxiesOfEnvironment, type ProxySettings, proxyVariables } from './proxies.ts';
