/**
 * The files that make a machine a device of a fleet, their permissions, and the bundle that carries
 * them. No I/O.
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
