//! What reflection tells of the stream: enough for a client that knows no proto
//! file to speak it, errors included.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};
use lock_server::testing::TestServer;
use prost::Message as _;
use prost_types::FileDescriptorProto;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::support::channel;

/// The files that answer a question.
async fn ask(url: &str, question: MessageRequest) -> Vec<FileDescriptorProto> {
    let request =
        ServerReflectionRequest { host: String::new(), message_request: Some(question.clone()) };
    let requests = stream::iter([request]).chain(stream::pending());
    let mut client = ServerReflectionClient::new(channel(url));
    let mut answers = client.server_reflection_info(requests).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    match answer {
        Some(MessageResponse::FileDescriptorResponse(files)) => {
            let decode = |file: &Vec<u8>| FileDescriptorProto::decode(file.as_slice()).unwrap();
            files.file_descriptor_proto.iter().map(decode).collect()
        }
        other => panic!("{question:?}: {other:?}"),
    }
}

/// A symbol's file and all that it needs, as a client gathers them.
async fn files_for(url: &str, symbol: &str) -> BTreeMap<String, FileDescriptorProto> {
    let mut found = BTreeMap::new();
    let mut wanted: Vec<_> = vec![MessageRequest::FileContainingSymbol(symbol.to_owned())];
    while let Some(question) = wanted.pop() {
        for file in ask(url, question).await {
            let missing = file.dependency.iter().filter(|name| !found.contains_key(*name));
            wanted.extend(missing.cloned().map(MessageRequest::FileByFilename));
            found.insert(file.name().to_owned(), file);
        }
    }
    found
}

#[tokio::test]
async fn the_stream_and_its_errors_are_described_in_full() {
    let server = TestServer::start(&[]).await;
    let files = files_for(&server.url(), "lock.v1.LockService").await;
    let messages: BTreeSet<String> = files
        .values()
        .flat_map(|file| {
            let package = file.package().to_owned();
            file.message_type.iter().map(move |message| format!(".{package}.{}", message.name()))
        })
        .collect();
    let service = files.values().flat_map(|file| &file.service);
    let mut methods = service.flat_map(|service| &service.method);
    let session = methods.find(|method| method.name() == "Session").expect("Session");
    assert!(session.client_streaming() && session.server_streaming(), "{session:?}");
    let response = session.output_type().to_owned();
    assert_eq!(response, ".lock.v1.SessionResponse");

    let described = files.values().flat_map(|file| &file.message_type);
    let types: Vec<_> = described
        .filter(|message| ["SessionRequest", "SessionResponse"].contains(&message.name()))
        .flat_map(|message| &message.field)
        .filter(|field| !field.type_name().is_empty())
        .map(|field| field.type_name().to_owned())
        .collect();
    assert!(types.contains(&".google.rpc.Status".to_owned()), "{types:?}");
    for name in types {
        assert!(messages.contains(&name), "{name} is not described: {messages:?}");
    }
}

#[tokio::test]
async fn what_an_error_is_made_of_is_described() {
    let server = TestServer::start(&[]).await;
    for symbol in ["google.rpc.Status", "google.rpc.ErrorInfo", "google.rpc.QuotaFailure"] {
        let files = files_for(&server.url(), symbol).await;
        let (package, name) = symbol.rsplit_once('.').unwrap();
        let found = files.values().any(|file| {
            let mut messages = file.message_type.iter();
            file.package() == package && messages.any(|message| message.name() == name)
        });
        assert!(found, "{symbol}: {:?}", files.keys());
    }
}
