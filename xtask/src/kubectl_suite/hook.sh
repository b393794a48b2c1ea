# Sourced by Kubernetes' test-cmd.sh when its API server runs, before its tests.

# Some checks are in no function; and not all functions are named so that `WHAT` finds them.
eval "run_auth_tests() {
  set -o nounset
  set -o errexit
$(sed -n '/^  # kubectl auth can-i$/,/^  # Retrieve multiple #$/p' test/cmd/legacy-script.sh)
}"
for function in $(compgen -A function run_); do
  [[ "${function}" == *_tests ]] || eval "${function}_tests() { ${function}; }"
done

# A module says of no file that it can be run.
find test/fixtures/pkg/kubectl/plugins -type f -name 'kubectl-*' -exec chmod +x {} +

# From here on the tests reach lockgate, with a token that is for it alone.
if [[ -n "${LOCKGATE:-}" ]]; then
  kubectl create serviceaccount lockgate-suite --namespace=kube-system
  token=$(kubectl create token lockgate-suite --namespace=kube-system --audience=lockgate --duration=12h)
  kubectl get --raw /openid/v1/jwks > "${GATE_DIR}/jwks.json"
  cp "${TMPDIR}/apiserver.crt" "${GATE_DIR}/ca.pem"
  printf admin-token > "${GATE_DIR}/admin-token"

  HOME="${GATE_DIR}" "${LOCKGATE}" up --config "${GATE_DIR}/lockgate.yaml" > "${GATE_DIR}/lockgate.log" 2>&1 &
  kube::util::trap_add "kill $!" EXIT
  SECURE_API_PORT="${GATE_PORT}"
  kube::util::wait_for_url_with_bearer_token "https://127.0.0.1:${SECURE_API_PORT}/readyz" "${token}" "lockgate"

  kubectl config set-cluster local --insecure-skip-tls-verify --server "https://127.0.0.1:${SECURE_API_PORT}"
  kubectl config set-credentials test-admin --token "${token}"
  for function in $(compgen -A function); do
    definition=$(declare -f "${function}")
    [[ "${definition}" != *admin-token* ]] || eval "${definition//admin-token/${token}}"
  done
fi
