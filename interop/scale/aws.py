"""Holds the files of docs/scale for AWS against the service models of the AWS SDK for Python, and gives those that an
emulator of AWS knows to it:  aws.py URL"""
import json, pathlib, sys
import boto3
from botocore.validate import ParamValidator

url, = sys.argv[1:]
files = pathlib.Path(__file__).parents[2] / "docs/scale"

def client(service):
    return boto3.client(service, endpoint_url=url, region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test")

def read(name):
    return json.loads((files / name).read_text())

def check_enums(value, shape, path):
    """The SDK leaves these to the service."""
    if shape.type_name == "structure":
        for name, member in value.items():
            check_enums(member, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for i, member in enumerate(value):
            check_enums(member, shape.member, f"{path}[{i}]")
    elif shape.type_name == "string" and shape.enum and value not in shape.enum:
        sys.exit(f"{path}: {value!r} is none of {shape.enum}")

def check(name, service, operation):
    """Checks that a file has a request of an operation, and returns it."""
    request = read(name)
    shape = client(service).meta.service_model.operation_model(operation).input_shape
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        sys.exit(f"{name}: {report.generate_report()}")
    check_enums(request, shape, name)
    return request

definition = check("batch-job-definition.json", "batch", "RegisterJobDefinition")
submitted = check("batch-submit-job.json", "batch", "SubmitJob")
function = check("s3batch-function.json", "lambda", "CreateFunction")
check("s3batch-job.json", "s3control", "CreateJob")

registered = client("batch").register_job_definition(**definition)
assert registered["jobDefinitionName"] == submitted["jobDefinition"], registered
assert submitted["parameters"]["shards"] == f"env/{submitted['arrayProperties']['size']}", submitted
arguments = json.loads(function["Environment"]["Variables"]["ESDK_ARGS"])
assert all(isinstance(a, str) for a in arguments), arguments

iam = client("iam")
for name in "iam-policy.json", "iam-policy-s3batch.json":
    iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(read(name)))
for name in "trust-irsa.json", "trust-service.json":
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(read(name)))
print("the files for AWS are requests and policies")
