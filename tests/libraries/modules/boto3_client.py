"""A client made at import; it only signs requests, because there is no S3 here."""

import boto3

client = boto3.client("s3", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")


def handler(body):
    url = client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": str(body)})
    assert f"/{body}?" in url
