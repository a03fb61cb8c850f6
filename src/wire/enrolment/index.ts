/**
 * What makes a machine a device of a fleet: which files, with which permissions, and the bundle
 * that carries them. No I/O.
 */
export {
  decodeBundle,
  encodeBundle,
  type EnrolmentBundle,
  enrolmentFiles,
  type EnrolmentPath,
  isEnrolmentPath,
  maxBundleBytes,
} from './bundle.ts';
