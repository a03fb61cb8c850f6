/** The door to downloading, for the pull unit and the tools; see `index.ts` for why it is apart. */
export {
  Download,
  fetchSmall,
  type DownloadPatience,
  type DownloadRequest,
  type Source,
} from './download.ts';
export { openHttpClient, type HttpClient, type HttpClientOptions } from './http-client.ts';
export { pull, signatureAddress, type PullPorts } from './pull.ts';
