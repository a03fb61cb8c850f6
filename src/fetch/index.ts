/**
 * Downloads: HTTP(S) with resume, mirrors and limits; the pull of one image, whose bytes pass once through signature and
 * archive checks (trust/, aci/) into an object; and the job, progress and result by which the pull unit speaks with
 * wherryd. Committing an object is not done here (store/). The resident process takes only the codecs: the pull and
 * the HTTP client are behind `pull-unit.ts`.
 */
export {
  decodePullJob,
  decodePullProgress,
  decodePullResult,
  encodePullJob,
  encodePullProgress,
  encodePullResult,
  maxPullFileBytes,
} from '../device/jobs/pull/index.ts';
export { jobName } from '../device/jobs/pull/index.ts';
export type { PullJob, PullLimits, PullProgress, PullResult } from '../device/jobs/pull/index.ts';
export type { ProxySettings } from '../wire/http/index.ts';
export {
  decodeUnitFile,
  encodeResult,
  hexDigits,
  type RefusedResult,
  resultOf,
} from '../device/jobs/index.ts';
