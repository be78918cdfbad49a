#!/bin/sh
# Makes the code of the protos in gen, ignored by git. Needs protoc, protoc-gen-go and protoc-gen-go-grpc, on Debian the
# packages protobuf-compiler, protoc-gen-go and protoc-gen-go-grpc.
set -eu
cd "$(dirname "$0")"
module=example.com/@PACKAGE@
set -- "--go_opt=module=$module" "--go-grpc_opt=module=$module"
for file in proto/bitrix24/gateway/v1/*.proto; do
    into="M${file#proto/}=$module/gen/bitrix24/gateway/v1;gatewayv1"
    set -- "$@" "--go_opt=$into" "--go-grpc_opt=$into"
done
rm -rf gen
protoc --proto_path=proto --go_out=. --go-grpc_out=. "$@" proto/bitrix24/gateway/v1/*.proto
